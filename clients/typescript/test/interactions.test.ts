import assert from "node:assert/strict";
import { test } from "node:test";

import { status, type sendUnaryData } from "@grpc/grpc-js";

import {
  ImportInteractionsRequest,
  ImportInteractionsResponse,
  RecordInteractionsRequest,
  UpdateCatalogRequest,
  type InteractionInput,
} from "@akin/client";

import { serve, type Call, type DuplexStream } from "./server.js";

const VIEW = { userId: "u", itemId: "a", type: "VIEW" };

test("an interaction without a time has the same one at each attempt", async (t) => {
  const attempts: RecordInteractionsRequest[] = [];
  const RecordInteractions = (call: Call, respond: sendUnaryData<Buffer>): void => {
    attempts.push(RecordInteractionsRequest.decode(call.request));
    if (attempts.length === 1) {
      respond({ code: status.UNAVAILABLE, details: "starting" });
    } else {
      respond(null, Buffer.alloc(0));
    }
  };
  const client = await serve(t, { RecordInteractions }, { catalog: "books" });
  const start = Date.now();
  const time = new Date(7);
  const request = { interactions: [VIEW, { ...VIEW, time }] };
  await client.recordInteractions(request);
  assert.equal(attempts.length, 2);
  assert.deepEqual(attempts[0], attempts[1]);
  const [untimed, timed] = attempts[0]!.interactions;
  assert.ok(untimed!.time!.getTime() >= start);
  assert.deepEqual(timed!.time, time);
  assert.equal(attempts[0]!.catalog, "books");
  assert.deepEqual(request.interactions[0], VIEW);
});

/** Responds to each message that its first and last interactions are invalid, and collects the messages. */
function failTwice(requests: ImportInteractionsRequest[]): (stream: DuplexStream) => void {
  return (stream) => {
    stream.on("data", (bytes: Buffer) => {
      const request = ImportInteractionsRequest.decode(bytes);
      requests.push(request);
      const failures = [{ position: 0 }, { position: request.interactions.length - 1 }];
      const response = ImportInteractionsResponse.fromPartial({ failures });
      stream.write(Buffer.from(ImportInteractionsResponse.encode(response).finish()));
    });
    stream.on("end", () => stream.end());
  };
}

test("failures have their positions in the import, and each message has the options", async (t) => {
  const requests: ImportInteractionsRequest[] = [];
  const client = await serve(t, { ImportInteractions: failTwice(requests) }, { catalog: "books" });
  const interactions = Array.from({ length: 600 }, (_, index) => ({ ...VIEW, itemId: `${index}` }));
  const positions: number[] = [];
  for await (const response of client.importInteractions(interactions, { validateOnly: true })) {
    positions.push(...response.failures.map(({ position }) => position));
  }
  assert.deepEqual(positions, [0, 255, 256, 511, 512, 599]);
  for (const request of requests) {
    assert.ok(request.interactions[0]!.time);
    assert.ok(request.validateOnly);
    assert.equal(request.catalog, "books");
  }
});

test("batches of interactions keep their positions", async (t) => {
  const client = await serve(t, { ImportInteractions: failTwice([]) });
  const positions: number[] = [];
  const requests = [{ interactions: [VIEW, VIEW] }, { interactions: [VIEW, VIEW] }];
  for await (const response of client.importInteractionBatches(requests)) {
    positions.push(...response.failures.map(({ position }) => position));
  }
  assert.deepEqual(positions, [0, 1, 0, 1]);
});

test("an error of the server ends endless interactions", async (t) => {
  const ImportInteractions = (stream: DuplexStream): void => {
    stream.on("data", () => stream.emit("error", { code: status.NOT_FOUND, details: "no such catalog" }));
  };
  const client = await serve(t, { ImportInteractions });
  let end!: () => void;
  const ended = new Promise<void>((resolve) => (end = resolve));
  function* interactions(): Generator<InteractionInput> {
    try {
      for (;;) {
        yield VIEW;
      }
    } finally {
      end();
    }
  }
  await assert.rejects(client.importInteractions(interactions()).next(), { codeName: "NOT_FOUND" });
  await ended;
});

test("an update of a catalog is sent with its mask and weights", async (t) => {
  const requests: UpdateCatalogRequest[] = [];
  const UpdateCatalog = (call: Call, respond: sendUnaryData<Buffer>): void => {
    requests.push(UpdateCatalogRequest.decode(call.request));
    respond(null, Buffer.alloc(0));
  };
  const client = await serve(t, { UpdateCatalog }, { catalog: "books" });
  const updateMask = ["interaction_weights", "new_item_boost"];
  await client.updateCatalog({ settings: { interactionWeights: { VIEW: 0.5 } }, updateMask });
  assert.deepEqual(requests[0]?.updateMask, updateMask);
  assert.deepEqual(requests[0]?.settings?.interactionWeights, { VIEW: 0.5 });
  assert.equal(requests[0]?.catalog, "books");
});
