interface Detail {
  "@type"?: string;
  reason?: string;
  fieldViolations?: { field?: string; description?: string }[];
  retryDelay?: string;
}

/** google.rpc.Status as JSON. */
export interface Status {
  code?: number;
  message?: string;
  details?: Detail[];
}

export const UNAUTHENTICATED = 16;
export const PERMISSION_DENIED = 7;
export const NOT_FOUND = 5;
export const INVALID_ARGUMENT = 3;
const UNAVAILABLE = 14;

/** A call that the API refused, or that did not reach it. */
export class ApiError extends Error {
  constructor(
    readonly code: number,
    message: string,
    readonly reason = "",
    readonly violations: { field: string; description: string }[] = [],
  ) {
    super(message);
  }
}

export function toError(status: Status, fallback: string): ApiError {
  const details = status.details ?? [];
  const reason = details.find((detail) => detail.reason)?.reason ?? "";
  const violations = details
    .flatMap((detail) => detail.fieldViolations ?? [])
    .map(({ field = "", description = "" }) => ({ field, description }));
  return new ApiError(status.code ?? 2, status.message || fallback, reason, violations);
}

export function toUnreachable(): ApiError {
  return new ApiError(UNAVAILABLE, "The server does not answer. Check that it runs, then try again.");
}

/** Is this the end of a call that the page itself canceled? */
export function isCanceled(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

export function describeError(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
