import assert from "node:assert/strict";
import { test } from "node:test";

import { Metadata, status, type sendUnaryData } from "@grpc/grpc-js";

import { AkinError, Client, UpsertItemRequest, type CallInfo } from "@akin/client";

import { serve, type Call, type DuplexStream, type Handlers, type ResponseStream } from "./server.js";

const TIMING = "cache, embed;dur=1.500, proxy;desc=hit,total;dur=2";

/** Returns the trailing metadata of a server that repeats the request id. */
function trailer(call: { metadata: Metadata }): Metadata {
  const metadata = new Metadata();
  metadata.set("x-request-id", String(call.metadata.get("x-request-id")[0] ?? "made by the server"));
  metadata.set("server-timing", TIMING);
  return metadata;
}

const ECHO: Handlers = {
  GetItem: (call: Call, respond: sendUnaryData<Buffer>) => respond(null, Buffer.alloc(0), trailer(call)),
  DeleteItem: (call: Call, respond: sendUnaryData<Buffer>) =>
    respond({ code: status.NOT_FOUND, details: "no such item", metadata: trailer(call) }),
  FindDuplicates: (stream: ResponseStream) => {
    stream.write(Buffer.alloc(0));
    stream.end(trailer(stream));
  },
  ImportItems: (stream: DuplexStream) => {
    stream.on("data", () => stream.write(Buffer.alloc(0)));
    stream.on("end", () => stream.end(trailer(stream)));
  },
};

test("a call sends its request id, and reads the id and the timing", async (t) => {
  const client = await serve(t, ECHO);
  const callInfo: CallInfo = { requestId: "order-1017" };
  await client.getItem({ itemId: "a" }, { callInfo });
  assert.deepEqual(callInfo, { requestId: "order-1017", serverTimingMs: { embed: 1.5, total: 2 } });
  const made: CallInfo = {};
  await client.getItem({ itemId: "a" }, { callInfo: made });
  assert.equal(made.requestId, "made by the server");
});

test("streams send their request id, and read the timing at their end", async (t) => {
  const client = await serve(t, ECHO);
  const callInfo: CallInfo = { requestId: "stream" };
  for await (const _ of client.findDuplicates({}, { callInfo })) {
    assert.equal(callInfo.serverTimingMs, undefined);
  }
  assert.deepEqual(callInfo, { requestId: "stream", serverTimingMs: { embed: 1.5, total: 2 } });
  const imported: CallInfo = { requestId: "import" };
  for await (const _ of client.importItemBatches([{ items: [{ itemId: "a", text: "tea" }] }], { callInfo: imported })) {
    assert.equal(imported.serverTimingMs, undefined);
  }
  assert.deepEqual(imported, { requestId: "import", serverTimingMs: { embed: 1.5, total: 2 } });
});

test("an error has the request id, with and without callInfo", async (t) => {
  const client = await serve(t, ECHO);
  const callInfo: CallInfo = { requestId: "lost-1" };
  const isLost = (error: unknown): boolean => error instanceof AkinError && error.requestId === "lost-1";
  await assert.rejects(client.deleteItem({ itemId: "a" }, { callInfo }), isLost);
  assert.equal(callInfo.requestId, "lost-1");
  const isNamed = (error: unknown): boolean => error instanceof AkinError && error.requestId === "made by the server";
  await assert.rejects(client.deleteItem({ itemId: "a" }), isNamed);
});

test("a client of a catalog shares the connection, and names the catalog", async (t) => {
  const catalogs: string[] = [];
  const client = await serve(t, {
    UpsertItem: (call: Call, respond: sendUnaryData<Buffer>) => {
      catalogs.push(UpsertItemRequest.decode(call.request).catalog);
      respond(null, Buffer.alloc(0));
    },
  });
  const books = client.catalog("books");
  const request = { item: { itemId: "a", text: "tea" } };
  await books.upsertItem(request);
  await books.upsertItem({ ...request, catalog: "films" });
  await books.catalog("").upsertItem(request);
  await client.upsertItem(request);
  assert.deepEqual(catalogs, ["books", "films", "", ""]);
});

test(
  "a server of Akin makes an id, and measures its stages",
  { skip: process.env.AKIN_ADDRESS ? false : "AKIN_ADDRESS is not set" },
  async () => {
    const client = new Client(process.env.AKIN_ADDRESS!);
    const callInfo: CallInfo = {};
    await client.listItems({}, { callInfo });
    client.close();
    assert.match(callInfo.requestId!, /^[0-9a-f]{16}$/);
    assert.ok(callInfo.serverTimingMs!.total! > 0);
  },
);
