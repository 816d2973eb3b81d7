import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";

import {
  AkinError,
  AnalysisServiceDefinition,
  CatalogServiceDefinition,
  Client,
  InteractionServiceDefinition,
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
  updateMask?: string[];
  timeoutMs?: number;
  response?: Json;
  responses?: Json[];
  lastResponse?: Json;
  error?: ExpectedError;
  eventually?: boolean;
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
const EVENTUAL_TIMEOUT_MS = 30_000;
const EVENTUAL_PAUSE_MS = 50;
const SERVICES = {
  RecommenderService: RecommenderServiceDefinition,
  CatalogService: CatalogServiceDefinition,
  InteractionService: InteractionServiceDefinition,
  AnalysisService: AnalysisServiceDefinition,
};

const { AKIN_ADDRESS, AKIN_TLS_ADDRESS, AKIN_TLS_CA, AKIN_TLS_CERT, AKIN_TLS_KEY, AKIN_API_KEY } = process.env;

test("the server behaves as the conformance cases say", { skip: AKIN_ADDRESS ? false : "AKIN_ADDRESS is not set" }, async (t) => {
  const { cases } = JSON.parse(readFileSync(CASES, "utf8")) as { cases: { name: string; steps: Step[] }[] };
  const client = new Client(AKIN_ADDRESS!);
  t.after(() => client.close());
  for (const { name, steps } of cases) {
    await t.test(name, async () => {
      const saved = new Map<string, string>();
      for (const [index, step] of steps.entries()) {
        await runUntilDone(client, step, saved, `step ${index + 1}, ${step.method}`);
      }
    });
  }
});

const withTls = AKIN_TLS_ADDRESS && AKIN_TLS_CA && AKIN_TLS_CERT && AKIN_TLS_KEY && AKIN_API_KEY;

test("with TLS, an API key is required", { skip: withTls ? false : "the AKIN_TLS_ variables are not set" }, async (t) => {
  const tls = {
    ca: readFileSync(AKIN_TLS_CA!),
    cert: readFileSync(AKIN_TLS_CERT!),
    key: readFileSync(AKIN_TLS_KEY!),
  };
  const client = new Client(AKIN_TLS_ADDRESS!, { tls, apiKey: AKIN_API_KEY });
  const anonymous = new Client(AKIN_TLS_ADDRESS!, { tls });
  t.after(() => [client, anonymous].forEach((connection) => connection.close()));
  assert.ok((await client.getCatalog({})).catalog);
  await assert.rejects(anonymous.getCatalog({}), { name: "AkinError", codeName: "UNAUTHENTICATED" });
});

/** Runs a step. Repeats one with `eventually` until it succeeds or EVENTUAL_TIMEOUT_MS have passed. */
async function runUntilDone(client: Client, step: Step, saved: Map<string, string>, where: string): Promise<void> {
  const start = Date.now();
  for (;;) {
    try {
      return await run(client, step, saved, where);
    } catch (error) {
      if (!step.eventually || Date.now() - start > EVENTUAL_TIMEOUT_MS) {
        throw error;
      }
      await setTimeout(EVENTUAL_PAUSE_MS);
    }
  }
}

async function run(client: Client, step: Step, saved: Map<string, string>, where: string): Promise<void> {
  const call = step.requests ? callImport(client, step, saved) : callMethod(client, step, saved);
  if (step.error) {
    const error: unknown = await call.then(
      () => assert.fail(`${where}: no error`),
      (failure: unknown) => failure,
    );
    checkError(error, step.error, where);
    return;
  }
  const responses = await call;
  const actual =
    step.lastResponse === undefined
      ? responses
      : ((responses as Json[]).at(-1) ?? assert.fail(`${where}: no response`));
  const expected = fill(step.responses ?? step.lastResponse ?? step.response ?? {}, saved);
  const difference = mismatch(expected, actual, where);
  assert.equal(difference, undefined, difference);
  for (const [name, path] of Object.entries(step.save ?? {})) {
    const value = path.split(".").reduce<Json | undefined>((part, key) => (part as Record<string, Json>)?.[key], actual);
    saved.set(name, String(value));
  }
}

/** Calls a method with one request. Returns its response, or a list of those of a stream. */
async function callMethod(client: Client, step: Step, saved: Map<string, string>): Promise<Json> {
  const [name, { requestType, responseType, responseStream }] = find(step.method);
  const request = requestType.fromJSON(fill(step.request ?? {}, saved)) as { updateMask?: string[] };
  if (step.updateMask) {
    request.updateMask = step.updateMask;
  }
  const options = { timeoutMs: step.timeoutMs ?? 10_000 };
  // One signature stands for all methods, because the method is only known at run time.
  const method = client[name as "getItem"].bind(client) as (request: unknown, options: object) => unknown;
  const result = method(request, options);
  return responseStream
    ? collect(result as AsyncIterable<unknown>, responseType)
    : (responseType.toJSON(await result) as Json);
}

/** Calls a method with a stream of requests. Returns a list of its responses. */
async function callImport(client: Client, step: Step, saved: Map<string, string>): Promise<Json> {
  const [name, { requestType, responseType }] = find(step.method);
  const requests = (step.requests ?? []).map((request) => requestType.fromJSON(fill(request, saved)));
  const options = { timeoutMs: step.timeoutMs ?? 10_000 };
  // `importItems` is called as `importItemBatches`, which takes whole messages.
  const batches = name.replace(/s$/, "Batches") as "importItemBatches";
  return collect(client[batches](requests as never[], options), responseType);
}

async function collect(responses: AsyncIterable<unknown>, type: AnyType): Promise<Json[]> {
  const collected: Json[] = [];
  for await (const response of responses) {
    collected.push(type.toJSON(response) as Json);
  }
  return collected;
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
