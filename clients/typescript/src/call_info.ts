import type { Metadata, StatusObject } from "@grpc/grpc-js";

const REQUEST_ID_KEY = "x-request-id";
const SERVER_TIMING_KEY = "server-timing";

/** Names a call, and receives what the server says about it. Use one for each call. */
export interface CallInfo {
  /**
   * The id of the call, which the log of the server has. Before the call, it is the id to send: 1 to 128
   * visible ASCII characters. The server replaces any other id. Unset: the server makes one. After the
   * call, it is the id that the server used; empty if no server responded.
   */
  requestId?: string;
  /**
   * The milliseconds of each stage of a successful call in the server, such as `embed` and `search`.
   * `total` is the whole call.
   */
  serverTimingMs?: Record<string, number>;
}

/** A running call, which emits its status once. */
interface RunningCall {
  once(event: "status", listener: (status: StatusObject) => void): unknown;
}

/** Returns the metadata of a call, which has the request id. */
export function withRequestId(metadata: Metadata, info: CallInfo | undefined): Metadata {
  if (!info?.requestId) {
    return metadata;
  }
  const named = metadata.clone();
  named.set(REQUEST_ID_KEY, info.requestId);
  return named;
}

/** Sets the info when the call ends, before its caller learns of the end. */
export function setAtEnd(call: RunningCall, info: CallInfo | undefined): void {
  if (info) {
    call.once("status", ({ metadata }) => {
      info.requestId = requestId(metadata);
      info.serverTimingMs = parseTiming(find(metadata, SERVER_TIMING_KEY));
    });
  }
}

/** Returns the request id in the trailing metadata of a call; empty if there is none. */
export function requestId(metadata: Metadata | undefined): string {
  return find(metadata, REQUEST_ID_KEY);
}

function find(metadata: Metadata | undefined, key: string): string {
  return String(metadata?.get(key)[0] ?? "");
}

/** Returns the entries of a Server-Timing header (W3C) that have a duration. A proxy may add others. */
function parseTiming(header: string): Record<string, number> {
  const entries = header.split(",").map((entry) => entry.trim().split(";dur=") as [string, string?]);
  return Object.fromEntries(
    entries.map(([name, ms]) => [name, parseFloat(ms ?? "")] as const).filter(([, ms]) => Number.isFinite(ms)),
  );
}
