import { ApiError, type Status, isCanceled, toError, toUnreachable } from "./errors";
import { readKey } from "./session";

export interface Request {
  verb: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** The path with its percent-encoded ids, as in /v1/catalogs/default. */
  path: string;
  query?: Record<string, string | number | boolean | undefined>;
  body?: unknown;
  /** Lines of newline-delimited JSON, in place of `body`. */
  lines?: string;
  signal?: AbortSignal | undefined;
}

export interface Answer<T> {
  value: T;
  /** The duration of the call inside the server, if its header says it. */
  serverMs: number | undefined;
}

/** Calls that may run when a key turns out to be invalid. */
let onUnauthenticated: () => void = () => undefined;

export function listenForSignOut(listener: () => void): void {
  onUnauthenticated = listener;
}

export function segment(id: string): string {
  return encodeURIComponent(id);
}

export function buildUrl({ path, query }: Pick<Request, "path" | "query">): string {
  const pairs = Object.entries(query ?? {}).flatMap(([name, value]) =>
    value === undefined || value === "" ? [] : [[name, String(value)]],
  );
  return pairs.length ? `${path}?${new URLSearchParams(pairs)}` : path;
}

/** Make a call with one response. Throws ApiError, or AbortError if `signal` fires. */
export async function call<T>(request: Request): Promise<T> {
  return (await callTimed<T>(request)).value;
}

export async function callTimed<T>(request: Request): Promise<Answer<T>> {
  const response = await send(request);
  const value = (await response.json()) as T;
  return { value, serverMs: parseServerTiming(response.headers.get("server-timing")) };
}

/** Make a call whose response is newline-delimited JSON, and yield each line. */
export async function* callLines<T>(request: Request): AsyncGenerator<T> {
  const response = await send(request);
  for await (const line of readLines(response.body)) {
    yield JSON.parse(line) as T;
  }
}

async function send(request: Request): Promise<Response> {
  const { verb, body, lines, signal } = request;
  const headers: Record<string, string> = {};
  const key = readKey();
  if (key) headers["Authorization"] = `Bearer ${key}`;
  if (lines !== undefined) headers["Content-Type"] = "application/x-ndjson";
  else if (body !== undefined) headers["Content-Type"] = "application/json";
  const init: RequestInit = { method: verb, headers, cache: "no-store", credentials: "omit" };
  if (signal) init.signal = signal;
  if (lines !== undefined) init.body = lines;
  else if (body !== undefined) init.body = JSON.stringify(body);
  let response: Response;
  try {
    response = await fetch(buildUrl(request), init);
  } catch (error) {
    throw isCanceled(error) ? error : toUnreachable();
  }
  // A key that has been replaced says nothing about the present one.
  if (response.status === 401 && key === readKey()) onUnauthenticated();
  if (!response.ok) throw await readError(response);
  return response;
}

async function readError(response: Response): Promise<ApiError> {
  const status = (await response.json().catch(() => ({}))) as Status;
  return toError(status, `The server answered with HTTP status ${response.status}.`);
}

/** Split a body into lines, without holding it whole. */
export async function* readLines(
  body: ReadableStream<Uint8Array<ArrayBuffer>> | null,
): AsyncGenerator<string> {
  if (!body) return;
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const pieces = (rest + value).split("\n");
    rest = pieces.pop() ?? "";
    yield* pieces.filter((line) => line.trim());
  }
  if (rest.trim()) yield rest;
}

/** Read the longest duration of a Server-Timing header, in milliseconds. */
function parseServerTiming(header: string | null): number | undefined {
  const durations = [...(header ?? "").matchAll(/dur=([0-9.]+)/g)].map((match) => Number(match[1]));
  return durations.length ? Math.max(...durations) : undefined;
}
