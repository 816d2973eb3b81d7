import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";

import {
  Metadata,
  Server,
  ServerCredentials,
  status,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
} from "@grpc/grpc-js";

import {
  AnalysisServiceDefinition,
  CatalogServiceDefinition,
  Client,
  DeleteCatalogRequest,
  FindDuplicatesRequest,
  FindDuplicatesResponse,
} from "@akin/client";

import { ErrorInfo } from "../src/generated/google/rpc/error_details.js";
import { Status } from "../src/generated/google/rpc/status.js";

type Call = ServerUnaryCall<Buffer, Buffer>;
type Stream = ServerWritableStream<Buffer, Buffer>;

const { findDuplicates, clusterItems, classifyText } = AnalysisServiceDefinition.methods;
const { deleteCatalog } = CatalogServiceDefinition.methods;

/** A client of a server whose streams the test answers, and what came to it. */
async function serve(t: TestContext, answer: (stream: Stream) => void) {
  const server = new Server();
  const requests: Buffer[] = [];
  const seconds: number[] = [];
  const note = (call: Call | Stream): void => {
    requests.push(call.request);
    seconds.push((Number(call.getDeadline()) - Date.now()) / 1000);
  };
  const identity = (bytes: Buffer): Buffer => bytes;
  const add = (service: { fullName: string }, method: { name: string }, responseStream: boolean, handler: object) => {
    const path = `/${service.fullName}/${method.name}`;
    const how = { requestSerialize: identity, requestDeserialize: identity };
    const back = { responseSerialize: identity, responseDeserialize: identity };
    const definition = { [method.name]: { path, requestStream: false, responseStream, ...how, ...back } };
    server.addService(definition, { [method.name]: handler } as never);
  };
  const unary = (call: Call, reply: sendUnaryData<Buffer>): void => {
    note(call);
    reply(null, Buffer.alloc(0));
  };
  for (const method of [clusterItems, classifyText]) {
    add(AnalysisServiceDefinition, method, false, unary);
  }
  add(CatalogServiceDefinition, deleteCatalog, false, unary);
  add(AnalysisServiceDefinition, findDuplicates, true, (stream: Stream) => {
    note(stream);
    answer(stream);
  });
  const port = await new Promise<number>((resolve, reject) => {
    const bound = (error: Error | null, at: number): void => (error ? reject(error) : resolve(at));
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), bound);
  });
  const client = new Client(`127.0.0.1:${port}`, { catalog: "books" });
  t.after(() => {
    client.close();
    server.forceShutdown();
  });
  return { client, requests, seconds };
}

function found(examinedCount: string): Buffer {
  const response = FindDuplicatesResponse.fromPartial({ extent: { examinedCount } });
  return Buffer.from(FindDuplicatesResponse.encode(response).finish());
}

test("a stream of responses comes one by one", async (t) => {
  const { client, requests } = await serve(t, (stream) => {
    stream.write(found("1"));
    stream.write(found("2"));
    stream.end();
  });
  const counts: (string | undefined)[] = [];
  for await (const { extent } of client.findDuplicates({ itemId: "a" })) {
    counts.push(extent?.examinedCount);
  }
  assert.deepEqual(counts, ["1", "2"]);
  const { catalog, itemId } = FindDuplicatesRequest.decode(requests[0]!);
  assert.deepEqual({ catalog, itemId }, { catalog: "books", itemId: "a" });
});

test("a stream of responses ends with its error, and is not repeated", async (t) => {
  const value = Buffer.from(ErrorInfo.encode(ErrorInfo.fromPartial({ reason: "WHY", domain: "akin" })).finish());
  const details = [{ typeUrl: "type.googleapis.com/google.rpc.ErrorInfo", value }];
  const metadata = new Metadata();
  metadata.set("grpc-status-details-bin", Buffer.from(Status.encode(Status.fromPartial({ details })).finish()));
  const { client, requests } = await serve(t, (stream) => {
    stream.write(found("1"));
    stream.emit("error", { code: status.UNAVAILABLE, details: "gone", metadata });
  });
  const responses = client.findDuplicates({});
  assert.equal((await responses.next()).value?.extent?.examinedCount, "1");
  await assert.rejects(responses.next(), { name: "AkinError", codeName: "UNAVAILABLE", reason: "WHY" });
  assert.equal(requests.length, 1);
});

test("a stream of responses that is left, aborted or late ends", async (t) => {
  let left = 0;
  const { client } = await serve(t, (stream) => {
    stream.on("cancelled", () => left++);
    stream.write(found("1"));
  });
  for await (const _ of client.findDuplicates({})) {
    break;
  }
  const abort = new AbortController();
  const aborted = client.findDuplicates({}, { signal: abort.signal });
  await aborted.next();
  abort.abort(new Error("enough"));
  await assert.rejects(aborted.next(), /enough/);
  const late = client.findDuplicates({}, { timeoutMs: 200 });
  await late.next();
  await assert.rejects(late.next(), { codeName: "DEADLINE_EXCEEDED" });
  while (left < 3) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
});

test("what goes through a catalog has minutes", async (t) => {
  const { client, seconds } = await serve(t, (stream) => stream.end());
  await client.clusterItems({});
  await client.findDuplicates({}).next();
  await client.classifyText({});
  await client.clusterItems({}, { timeoutMs: 60_000 });
  for (const [index, expected] of [600, 600, 10, 60].entries()) {
    assert.ok(Math.abs(seconds[index]! - expected) < 8, `${seconds[index]} instead of ${expected}`);
  }
});

test("a catalog is deleted by its name only", async (t) => {
  const { client, requests } = await serve(t, (stream) => stream.end());
  await client.deleteCatalog({});
  assert.equal(DeleteCatalogRequest.decode(requests[0]!).catalog, "");
});
