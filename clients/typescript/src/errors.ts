import { status, type Metadata, type ServiceError } from "@grpc/grpc-js";

import { BadRequest, ErrorInfo, RetryInfo } from "./generated/google/rpc/error_details.js";
import { Status } from "./generated/google/rpc/status.js";

const DETAILS_KEY = "grpc-status-details-bin";

/** The name of a gRPC status code, such as NOT_FOUND. */
export type CodeName = keyof typeof status;

/** One field of the request at fault. */
export interface Violation {
  /** Its path in the request, such as `item.item_id`. */
  field: string;
  /** What is wrong with it. */
  description: string;
}

/** A call failed. `cause` has the error of gRPC, where there is one. */
export class AkinError extends Error {
  override readonly name = "AkinError";

  /** The gRPC status code. */
  readonly code: status;

  /** The code's name. */
  readonly codeName: CodeName;

  /** What went wrong, in a sentence. */
  readonly details: string;

  /** The stable name of the error, such as ITEM_NOT_FOUND; empty if the server never answered. */
  readonly reason: string = "";

  /** Whose name `reason` is: `akin`, or empty if the server never answered. */
  readonly domain: string = "";

  /** Every field at fault, for INVALID_ARGUMENT. */
  readonly violations: readonly Violation[] = [];

  /** Set where trying again later can help. */
  readonly retryAfterMs?: number;

  /** For an error of gRPC see `toAkinError`. */
  constructor(code: status, details: string, told: Told = {}, cause?: unknown) {
    const codeName = status[code] as CodeName;
    super(`${codeName}: ${details}`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.codeName = codeName;
    this.details = details;
    Object.assign(this, told);
  }
}

/** What an error of Akin tells beyond its code. */
type Told = Partial<Pick<AkinError, "reason" | "domain" | "violations" | "retryAfterMs">>;

/** The AkinError that a failed call's error stands for; what is no error of a call stays as it is. */
export function toAkinError(error: unknown): unknown {
  if (!isServiceError(error)) {
    return error;
  }
  return new AkinError(error.code, error.details, read(error.metadata), error);
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && typeof error.code === "number" && "details" in error;
}

function read(metadata: Metadata | undefined): Told {
  const encoded = metadata?.get(DETAILS_KEY)[0];
  if (!Buffer.isBuffer(encoded)) {
    return {};
  }
  try {
    return Object.assign({}, ...Status.decode(encoded).details.map(readDetail)) as Told;
  } catch {
    // Details that cannot be read must not hide the code.
    return {};
  }
}

function readDetail({ typeUrl, value }: { typeUrl: string; value: Buffer }): Told {
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
