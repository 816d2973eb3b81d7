import { status, type Metadata, type ServiceError } from "@grpc/grpc-js";

import { requestId } from "./call_info.js";
import { BadRequest, ErrorInfo, RetryInfo } from "./generated/google/rpc/error_details.js";
import { Status } from "./generated/google/rpc/status.js";

const DETAILS_KEY = "grpc-status-details-bin";

/** The name of a gRPC status code, such as NOT_FOUND. */
export type CodeName = keyof typeof status;

/** An invalid field of a request. */
export interface Violation {
  /** The path of the field in the request, such as `item.item_id`. */
  field: string;
  /** The explanation of the error for people. */
  description: string;
}

/** The error of a failed call. `cause` is the error of gRPC, if there is one. */
export class AkinError extends Error {
  override readonly name = "AkinError";

  /** The gRPC status code. */
  readonly code: status;

  /** The name of the code, such as `NOT_FOUND`. */
  readonly codeName: CodeName;

  /** The explanation of the error for people. Its wording can change. */
  readonly details: string;

  /** The ErrorInfo reason, such as `ITEM_NOT_FOUND`. Empty if no server responded. */
  readonly reason: string = "";

  /** The domain of `reason`: `akin`, or that of a proxy. Empty if no server responded. */
  readonly domain: string = "";

  /** Every invalid field of the request, for INVALID_ARGUMENT. */
  readonly violations: readonly Violation[] = [];

  /** The time to wait before retrying, in milliseconds. Unset if retrying cannot help. */
  readonly retryAfterMs?: number;

  /** The id of the call, which the log of the server has. Empty if no Akin server responded. */
  readonly requestId: string = "";

  /** Creates an error. `toAkinError` decodes one of gRPC. */
  constructor(code: status, details: string, decoded: Details = {}, cause?: unknown) {
    const codeName = status[code] as CodeName;
    super(`${codeName}: ${details}`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.codeName = codeName;
    this.details = details;
    Object.assign(this, decoded);
  }
}

/** The decoded details of an error. */
type Details = Partial<Pick<AkinError, "reason" | "domain" | "violations" | "retryAfterMs" | "requestId">>;

/** Decodes the error of a failed call. Returns other errors unchanged. */
export function toAkinError(error: unknown): unknown {
  if (!isServiceError(error)) {
    return error;
  }
  const { code, details, metadata } = error;
  return new AkinError(code, details, { requestId: requestId(metadata), ...decodeDetails(metadata) }, error);
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && typeof error.code === "number" && "details" in error;
}

function decodeDetails(metadata: Metadata | undefined): Details {
  const encoded = metadata?.get(DETAILS_KEY)[0];
  if (!Buffer.isBuffer(encoded)) {
    return {};
  }
  try {
    return Object.assign({}, ...Status.decode(encoded).details.map(decodeDetail)) as Details;
  } catch {
    // Invalid details must not hide the code.
    return {};
  }
}

function decodeDetail({ typeUrl, value }: { typeUrl: string; value: Buffer }): Details {
  switch (typeUrl.slice(typeUrl.lastIndexOf("/") + 1)) {
    case "google.rpc.ErrorInfo": {
      const { reason, domain } = ErrorInfo.decode(value);
      return { reason, domain };
    }
    case "google.rpc.BadRequest": {
      const violations = BadRequest.decode(value).fieldViolations;
      return { violations: violations.map(({ field, description }) => ({ field, description })) };
    }
    case "google.rpc.RetryInfo": {
      const delay = RetryInfo.decode(value).retryDelay;
      return delay ? { retryAfterMs: Number(delay.seconds) * 1000 + delay.nanos / 1e6 } : {};
    }
    default:
      return {};
  }
}
