import assert from "node:assert/strict";
import { test } from "node:test";

import { status, type sendUnaryData } from "@grpc/grpc-js";

import {
  AnalysisServiceDefinition,
  BatchDeleteItemsRequest,
  CatalogServiceDefinition,
  Client,
  DeleteCatalogRequest,
  filters,
  ImportItemsResponse,
  ImportUsersRequest,
  ImportUsersResponse,
  InteractionServiceDefinition,
  RecommenderServiceDefinition,
  UpdateItemRequest,
} from "@akin/client";

import { serviceConfig } from "../src/generated/service_config.js";
import { serve, type Call, type DuplexStream } from "./server.js";

test("a request names the catalog of the client, unless it creates or deletes a catalog", async (t) => {
  const requests: Buffer[] = [];
  const unary = (call: Call, respond: sendUnaryData<Buffer>): void => {
    requests.push(call.request);
    respond(null, Buffer.alloc(0));
  };
  const client = await serve(t, { DeleteCatalog: unary, BatchDeleteItems: unary }, { catalog: "books" });
  await client.deleteCatalog({});
  await client.batchDeleteItems({ ids: { itemIds: ["a"] } });
  await client.batchDeleteItems({ catalog: "films", filter: { all: [{ attribute: "a", exists: true }] } });
  assert.equal(DeleteCatalogRequest.decode(requests[0]!).catalog, "");
  assert.equal(BatchDeleteItemsRequest.decode(requests[1]!).catalog, "books");
  assert.equal(BatchDeleteItemsRequest.decode(requests[2]!).catalog, "films");
});

test("an update that is UNAVAILABLE is sent again with its mask", async (t) => {
  const masks: (string[] | undefined)[] = [];
  const UpdateItem = (call: Call, respond: sendUnaryData<Buffer>): void => {
    masks.push(UpdateItemRequest.decode(call.request).updateMask);
    if (masks.length === 1) {
      respond({ code: status.UNAVAILABLE, details: "starting" });
    } else {
      respond(null, Buffer.alloc(0));
    }
  };
  const client = await serve(t, { UpdateItem });
  const updateMask = ["attributes.in stock", "expire_time"];
  await client.updateItem({ item: { itemId: "a", attributes: { "in stock": true } }, updateMask });
  assert.deepEqual(masks, [updateMask, updateMask]);
});

const SERVICES = [
  RecommenderServiceDefinition,
  CatalogServiceDefinition,
  InteractionServiceDefinition,
  AnalysisServiceDefinition,
];

test("every unary method is a method of the client and is retried, and no stream is", () => {
  const retried = new Set(serviceConfig.methodConfig[0]!.name.map(({ service, method }) => `${service}/${method}`));
  const unary = new Set<string>();
  for (const service of SERVICES) {
    for (const [name, method] of Object.entries(service.methods)) {
      assert.equal(typeof Client.prototype[name as "getItem"], "function", name);
      if (!method.requestStream && !method.responseStream) {
        unary.add(`${service.fullName}/${method.name}`);
      }
    }
  }
  assert.deepEqual(retried, unary);
});

test("users are imported in messages, with one result for each user", async (t) => {
  const sizes: number[] = [];
  const catalogs = new Set<string>();
  const ImportUsers = (stream: DuplexStream): void => {
    stream.on("data", (bytes: Buffer) => {
      const { catalog, users, validateOnly } = ImportUsersRequest.decode(bytes);
      assert.equal(validateOnly, true);
      catalogs.add(catalog);
      sizes.push(users.length);
      const results = users.map(({ userId }) => ({ userId }));
      const response = ImportUsersResponse.fromPartial({ results, usage: { textCount: users.length } });
      stream.write(Buffer.from(ImportUsersResponse.encode(response).finish()));
    });
    stream.on("end", () => stream.end());
  };
  const client = await serve(t, { ImportUsers }, { catalog: "books" });
  const users = Array.from({ length: 600 }, (_, index) => ({ userId: `${index}` }));
  const userIds: string[] = [];
  for await (const result of client.importUsers(users, { validateOnly: true })) {
    userIds.push(result.userId);
  }
  assert.deepEqual(userIds, users.map(({ userId }) => userId));
  assert.deepEqual(sizes, [256, 256, 88]);
  const counts: (number | undefined)[] = [];
  for await (const { usage } of client.importUserBatches([{ users: users.slice(0, 2), validateOnly: true }])) {
    counts.push(usage?.textCount);
  }
  assert.deepEqual(counts, [2]);
  assert.deepEqual([...catalogs], ["books"]);
});

test("an import that the server ends early is an error", async (t) => {
  const ImportItems = (stream: DuplexStream): void => {
    const response = ImportItemsResponse.fromPartial({ results: [{ itemId: "a" }] });
    stream.once("data", () => {
      stream.write(Buffer.from(ImportItemsResponse.encode(response).finish()));
      stream.end();
    });
  };
  const client = await serve(t, { ImportItems });
  function* requests(): Generator<{ items: { itemId: string }[] }> {
    for (;;) {
      yield { items: [{ itemId: "a" }] };
    }
  }
  const responses = client.importItemBatches(requests());
  assert.equal((await responses.next()).value?.results[0]?.itemId, "a");
  await assert.rejects(responses.next(), { name: "AkinError", codeName: "INTERNAL" });
});

test("a number that was or would be rounded is an error, at any depth", async (t) => {
  let calls = 0;
  const unary = (_: Call, respond: sendUnaryData<Buffer>): void => {
    calls++;
    respond(null, Buffer.alloc(0));
  };
  const client = await serve(t, { UpsertItem: unary, ListItems: unary });
  const upsert = (value: unknown): Promise<unknown> =>
    client.upsertItem({ item: { itemId: "a", text: "tea", attributes: { a: [{ b: value }] } } });
  for (const value of [2 ** 53, -(2 ** 53), Number("9223372036854775807")]) {
    await assert.rejects(upsert(value), /^RangeError: item\.attributes\.a\[0\]\.b: the number .* use a string$/);
  }
  for (const value of [7n, 2n ** 64n, 10n ** 400n]) {
    await assert.rejects(upsert(value), /is a bigint; use a number or a string$/);
  }
  await assert.rejects(
    client.listItems({ filter: { all: [filters.equals("id", Number("12345678901234567890"))] } }),
    /filter\.all\[0\]\.equals: the number/,
  );
  const read = async (): Promise<void> => {
    for await (const _ of client.importItems([{ itemId: "a", text: "tea", attributes: { a: 2 ** 60 } }])) {
      assert.fail("a result arrived");
    }
  };
  await assert.rejects(read(), /attributes\.a: the number/);
  assert.equal(calls, 0);
  for (const value of [Number.MAX_SAFE_INTEGER, 1.5, 1e300, -0.1, "9007199254740993"]) {
    await upsert(value);
  }
});
