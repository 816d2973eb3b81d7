import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import {
  AkinError,
  AnalysisServiceDefinition,
  CatalogServiceDefinition,
  Client,
  RecommenderServiceDefinition,
} from "@akin/client";

import { fill, mismatch, type Json } from "./match.js";

interface ExpectedError {
  code: string;
  reason?: string;
  fields?: string[];
  retryDelay?: boolean;
}

interface Step {
  method: string;
  request?: Json;
  requests?: Json[];
  timeoutMs?: number;
  response?: Json;
  responses?: Json[];
  lastResponse?: Json;
  error?: ExpectedError;
  save?: Record<string, string>;
}

interface AnyType {
  fromJSON(json: unknown): unknown;
  toJSON(message: unknown): unknown;
}

interface AnyMethod {
  requestType: AnyType;
  responseType: AnyType;
  responseStream: boolean;
}

const CASES = new URL("../../../conformance/cases.json", import.meta.url);
const SERVICES = {
  RecommenderService: RecommenderServiceDefinition,
  CatalogService: CatalogServiceDefinition,
  AnalysisService: AnalysisServiceDefinition,
};

const { AKIN_ADDRESS, AKIN_TLS_ADDRESS, AKIN_TLS_CA, AKIN_TLS_CERT, AKIN_TLS_KEY, AKIN_API_KEY } = process.env;

test("conformance", { skip: AKIN_ADDRESS ? false : "AKIN_ADDRESS is not set" }, async (t) => {
  const { cases } = JSON.parse(readFileSync(CASES, "utf8")) as { cases: { name: string; steps: Step[] }[] };
  const client = new Client(AKIN_ADDRESS!);
  t.after(() => client.close());
  for (const { name, steps } of cases) {
    await t.test(name, async () => {
      const saved = new Map<string, string>();
      for (const [index, step] of steps.entries()) {
        await run(client, step, saved, `step ${index}, ${step.method}`);
      }
    });
  }
});

const withTls = AKIN_TLS_ADDRESS && AKIN_TLS_CA && AKIN_TLS_CERT && AKIN_TLS_KEY && AKIN_API_KEY;

test("TLS and a key", { skip: withTls ? false : "AKIN_TLS_ADDRESS and the like are not set" }, async (t) => {
  const tls = {
    ca: readFileSync(AKIN_TLS_CA!),
    cert: readFileSync(AKIN_TLS_CERT!),
    key: readFileSync(AKIN_TLS_KEY!),
  };
  const client = new Client(AKIN_TLS_ADDRESS!, { tls, apiKey: AKIN_API_KEY });
  const nobody = new Client(AKIN_TLS_ADDRESS!, { tls });
  t.after(() => [client, nobody].forEach((each) => each.close()));
  assert.ok((await client.getCatalog({})).catalog);
  await assert.rejects(nobody.getCatalog({}), { name: "AkinError", codeName: "UNAUTHENTICATED" });
});

async function run(client: Client, step: Step, saved: Map<string, string>, where: string): Promise<void> {
  const call = step.requests ? converse(client, step, saved) : ask(client, step, saved);
  if (step.error) {
    const error: unknown = await call.then(
      () => assert.fail(`${where}: no error`),
      (failed: unknown) => failed,
    );
    checkError(error, step.error, where);
    return;
  }
  const all = await call;
  const got = step.lastResponse === undefined ? all : ((all as Json[]).at(-1) ?? assert.fail(`${where}: no response`));
  const expected = fill(step.responses ?? step.lastResponse ?? step.response ?? {}, saved);
  const wrong = mismatch(expected, got, where);
  assert.equal(wrong, undefined, wrong);
  for (const [name, at] of Object.entries(step.save ?? {})) {
    const value = at.split(".").reduce<Json | undefined>((part, key) => (part as Record<string, Json>)?.[key], got);
    saved.set(name, String(value));
  }
}

async function ask(client: Client, step: Step, saved: Map<string, string>): Promise<Json> {
  const [name, { requestType, responseType, responseStream }] = find(step.method);
  const request = requestType.fromJSON(fill(step.request ?? {}, saved));
  const options = { timeoutMs: step.timeoutMs ?? 10_000 };
  // One signature for all methods, as the requests are known at run time only.
  const method = client[name as "getItem"].bind(client) as (request: unknown, options: object) => unknown;
  const answer = method(request, options);
  if (!responseStream) {
    return responseType.toJSON(await answer) as Json;
  }
  const responses: Json[] = [];
  for await (const response of answer as AsyncIterable<unknown>) {
    responses.push(responseType.toJSON(response) as Json);
  }
  return responses;
}

async function converse(client: Client, step: Step, saved: Map<string, string>): Promise<Json> {
  const { requestType, responseType } = RecommenderServiceDefinition.methods.importItems;
  const requests = (step.requests ?? []).map((each) => requestType.fromJSON(fill(each, saved)));
  const responses: Json[] = [];
  for await (const response of client.importBatches(requests, { timeoutMs: step.timeoutMs ?? 10_000 })) {
    responses.push(responseType.toJSON(response) as Json);
  }
  return responses;
}

function find(path: string): [string, AnyMethod] {
  const [service, method] = path.split(".") as [keyof typeof SERVICES, string];
  const methods = SERVICES[service].methods as unknown as Record<string, AnyMethod>;
  const name = method.charAt(0).toLowerCase() + method.slice(1);
  return [name, methods[name] ?? assert.fail(`there is no ${path}`)];
}

function checkError(error: unknown, expected: ExpectedError, where: string): void {
  assert.ok(error instanceof AkinError, `${where}: ${String(error)}`);
  assert.equal(error.codeName, expected.code, `${where}: ${error.message}`);
  if (expected.reason !== undefined) {
    assert.equal(error.reason, expected.reason, where);
    assert.equal(error.domain, "akin", where);
  }
  if (expected.fields) {
    const fields = error.violations.map(({ field }) => field);
    assert.deepEqual(fields.sort(), [...expected.fields].sort(), where);
  }
  if (expected.retryDelay !== undefined) {
    assert.equal(error.retryAfterMs !== undefined, expected.retryDelay, where);
  }
}
