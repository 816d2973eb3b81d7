import assert from "node:assert/strict";
import { test } from "node:test";

import { Metadata, status, type sendUnaryData } from "@grpc/grpc-js";

import { AkinError, Client, filters } from "@akin/client";

import { isLoopback } from "../src/channel.js";
import { toAkinError } from "../src/errors.js";
import { Item } from "../src/generated/akin/v1/item.js";
import { BadRequest, ErrorInfo, RetryInfo } from "../src/generated/google/rpc/error_details.js";
import { Status } from "../src/generated/google/rpc/status.js";
import { split } from "../src/import.js";
import { address, serve, type Call } from "./server.js";

function failure(code: status, details: string, encoded?: Buffer): Error {
  const metadata = new Metadata();
  if (encoded) {
    metadata.set("grpc-status-details-bin", encoded);
  }
  return Object.assign(new Error(details), { code, details, metadata });
}

function detail(type: string, value: Uint8Array): { typeUrl: string; value: Buffer } {
  return { typeUrl: `type.googleapis.com/google.rpc.${type}`, value: Buffer.from(value) };
}

test("an error has a reason, violations and the time to wait before retrying", () => {
  const violation = { field: "item.text", description: "is blank" };
  const encoded = Status.encode(
    Status.fromPartial({
      details: [
        detail("ErrorInfo", ErrorInfo.encode(ErrorInfo.fromPartial({ reason: "WHY", domain: "akin" })).finish()),
        detail("BadRequest", BadRequest.encode(BadRequest.fromPartial({ fieldViolations: [violation] })).finish()),
        detail(
          "RetryInfo",
          RetryInfo.encode(RetryInfo.fromPartial({ retryDelay: { seconds: "2", nanos: 5e8 } })).finish(),
        ),
        detail("Unknown", Buffer.from("?")),
      ],
    }),
  ).finish();
  const error = toAkinError(failure(status.INVALID_ARGUMENT, "no text", Buffer.from(encoded)));
  assert.ok(error instanceof AkinError);
  assert.equal(error.message, "INVALID_ARGUMENT: no text");
  assert.equal(error.code, 3);
  assert.equal(error.reason, "WHY");
  assert.deepEqual(error.violations, [violation]);
  assert.equal(error.retryAfterMs, 2500);
});

test("an error without details, or with invalid ones, keeps its code", () => {
  for (const encoded of [undefined, Buffer.from([0xff, 0xff, 0xff])]) {
    const error = toAkinError(failure(status.UNAVAILABLE, "gone", encoded));
    assert.ok(error instanceof AkinError);
    assert.equal(error.codeName, "UNAVAILABLE");
    assert.equal(error.reason, "");
    assert.deepEqual(error.violations, []);
    assert.equal(error.retryAfterMs, undefined);
  }
});

test("an error that no call caused is not decoded", () => {
  const error = new TypeError("not a call");
  assert.equal(toAkinError(error), error);
});

test("an API key requires TLS or a loopback address", () => {
  for (const address of ["localhost:1", "127.0.0.1:1", "127.8.8.8", "[::1]:1", "::1", "dns:///localhost:1", "unix:/s"]) {
    assert.ok(isLoopback(address), address);
    new Client(address, { apiKey: "k" }).close();
  }
  for (const address of ["example.org:1", "127.0.0.1.example.org:1", "10.0.0.1:1", "ipv4:127.0.0.1:1,10.0.0.1:1", ""]) {
    assert.ok(!isLoopback(address), address);
    assert.throws(() => new Client(address, { apiKey: "k" }), /requires tls/);
  }
  new Client("example.org:1", { apiKey: "k", tls: true }).close();
});

test("an aborted signal rejects with its reason", async () => {
  const client = new Client("127.0.0.1:1");
  const signal = AbortSignal.abort(new Error("enough"));
  await assert.rejects(client.getItem({ itemId: "a" }, { signal }), /enough/);
  await assert.rejects(client.importItems([], { signal }).next(), /enough/);
  client.close();
});

test("an import ends with the error of its source or of its call", async () => {
  const client = new Client("127.0.0.1:1");
  function* failing(): Generator<{ itemId: string }> {
    yield { itemId: "a" };
    throw new Error("the source broke");
  }
  await assert.rejects(client.importItems(failing()).next(), /the source broke/);
  await assert.rejects(client.importItems([{ itemId: "a", text: "b" }]).next(), { codeName: "UNAVAILABLE" });
  client.close();
});

test("a batch has at most 256 items and 4 MiB", async () => {
  const sizes = async (items: { itemId: string; text?: string }[]): Promise<number[]> => {
    const lengths: number[] = [];
    for await (const batch of split(Item, items)) {
      lengths.push(batch.length);
    }
    return lengths;
  };
  assert.deepEqual(await sizes(Array.from({ length: 600 }, (_, i) => ({ itemId: `${i}` }))), [256, 256, 88]);
  const large = { itemId: "a", text: "x".repeat(1024 * 1024) };
  assert.deepEqual(await sizes([large, large, large, large, large]), [3, 2]);
  assert.deepEqual(await sizes([]), []);
});

test("filter functions build messages", () => {
  const { all, any, between, equals, none, oneOf } = filters;
  const filter = all(equals("a", 1), any(oneOf("b", ["x"])), none(between("c", { gte: new Date(1500), lt: 9 })));
  assert.deepEqual(filter.all[0], { attribute: "a", equals: 1 });
  assert.deepEqual(filter.all[1]?.filter?.any, [{ attribute: "b", oneOf: ["x"] }]);
  assert.equal(filter.all[2]?.filter?.none[0]?.range?.gte, 1.5);
  assert.throws(() => any(), RangeError);
});

test("calls are spread over all addresses of a name", async (t) => {
  const counts = [0, 0];
  const addresses: string[] = [];
  for (const index of counts.keys()) {
    const getItem = (_: Call, respond: sendUnaryData<Buffer>): void => {
      counts[index]!++;
      respond(null, Buffer.alloc(0));
    };
    addresses.push(address(await serve(t, { GetItem: getItem })));
  }
  const client = new Client(`ipv4:${addresses.join(",")}`);
  t.after(() => client.close());
  // The connections are ready at different times.
  for (let number = 0; number < 2_000 && counts.includes(0); number++) {
    await client.getItem({ itemId: String(number) });
  }
  assert.ok(!counts.includes(0), `the replicas got ${counts.join(" and ")} calls`);
});
