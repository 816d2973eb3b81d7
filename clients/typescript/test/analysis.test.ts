import assert from "node:assert/strict";
import { test } from "node:test";

import { Metadata, status, type sendUnaryData } from "@grpc/grpc-js";

import { FindDuplicatesRequest, FindDuplicatesResponse } from "@akin/client";

import { ErrorInfo } from "../src/generated/google/rpc/error_details.js";
import { Status } from "../src/generated/google/rpc/status.js";
import { serve, type Call, type ResponseStream } from "./server.js";

const catalog = "books";

function progress(examinedItemCount: string): Buffer {
  const response = FindDuplicatesResponse.fromPartial({ progress: { coverage: { examinedItemCount } } });
  return Buffer.from(FindDuplicatesResponse.encode(response).finish());
}

test("a response stream yields its responses one by one", async (t) => {
  let request: Buffer = Buffer.alloc(0);
  const FindDuplicates = (stream: ResponseStream): void => {
    request = stream.request;
    stream.write(progress("1"));
    stream.write(progress("2"));
    stream.end();
  };
  const client = await serve(t, { FindDuplicates }, { catalog });
  const counts: (string | undefined)[] = [];
  for await (const response of client.findDuplicates({ itemId: "a" })) {
    counts.push(response.progress?.coverage?.examinedItemCount);
    assert.equal(response.groups, undefined);
  }
  assert.deepEqual(counts, ["1", "2"]);
  const decoded = FindDuplicatesRequest.decode(request);
  assert.deepEqual([decoded.catalog, decoded.itemId], ["books", "a"]);
});

test("a response stream ends with its error and is not retried", async (t) => {
  const value = Buffer.from(ErrorInfo.encode(ErrorInfo.fromPartial({ reason: "WHY", domain: "akin" })).finish());
  const details = [{ typeUrl: "type.googleapis.com/google.rpc.ErrorInfo", value }];
  const metadata = new Metadata();
  metadata.set("grpc-status-details-bin", Buffer.from(Status.encode(Status.fromPartial({ details })).finish()));
  let calls = 0;
  const FindDuplicates = (stream: ResponseStream): void => {
    calls++;
    stream.write(progress("1"));
    stream.emit("error", { code: status.UNAVAILABLE, details: "gone", metadata });
  };
  const client = await serve(t, { FindDuplicates });
  const responses = client.findDuplicates({});
  assert.equal((await responses.next()).value?.progress?.coverage?.examinedItemCount, "1");
  await assert.rejects(responses.next(), { name: "AkinError", codeName: "UNAVAILABLE", reason: "WHY" });
  assert.equal(calls, 1);
});

test("a response stream is cancelled if its loop ends, its signal is aborted or its deadline passes", async (t) => {
  let cancellations = 0;
  let allCancelled = (): void => undefined;
  const done = new Promise<void>((resolve) => (allCancelled = resolve));
  const FindDuplicates = (stream: ResponseStream): void => {
    stream.on("cancelled", () => ++cancellations === 3 && allCancelled());
    stream.write(progress("1"));
  };
  const client = await serve(t, { FindDuplicates });
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
  await done;
});

test("a call that examines a whole catalog has a deadline of ten minutes by default", async (t) => {
  const seconds: number[] = [];
  const note = (call: Call | ResponseStream): void => {
    seconds.push((Number(call.getDeadline()) - Date.now()) / 1000);
  };
  const unary = (call: Call, respond: sendUnaryData<Buffer>): void => {
    note(call);
    respond(null, Buffer.alloc(0));
  };
  const FindDuplicates = (stream: ResponseStream): void => {
    note(stream);
    stream.end();
  };
  const client = await serve(t, { ClusterItems: unary, ClassifyText: unary, FindDuplicates });
  await client.clusterItems({});
  await client.findDuplicates({}).next();
  await client.classifyText({});
  await client.clusterItems({}, { timeoutMs: 60_000 });
  for (const [index, expected] of [600, 600, 10, 60].entries()) {
    assert.ok(Math.abs(seconds[index]! - expected) < 8, `${seconds[index]} instead of ${expected}`);
  }
});
