import type { ComponentChildren } from "preact";

import { ApiError, describeError, INVALID_ARGUMENT } from "../api/errors";

/** The error of a call, with the invalid fields that it names. */
export function ErrorNotice({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  if (!error) return null;
  const violations = error instanceof ApiError && error.code === INVALID_ARGUMENT ? error.violations : [];
  return (
    <div class="notice notice-error" role="alert">
      <p>
        {describeError(error)}
        {error instanceof ApiError && error.reason && <code class="reason">{error.reason}</code>}
      </p>
      {violations.length > 1 && (
        <ul>
          {violations.map(({ field, description }) => (
            <li key={field}>
              <code>{field}</code>: {description}
            </li>
          ))}
        </ul>
      )}
      {onRetry && (
        <button class="button button-small" onClick={onRetry}>
          Try again
        </button>
      )}
    </div>
  );
}

export function Notice({ kind = "info", children }: { kind?: "info" | "warning"; children: ComponentChildren }) {
  return <div class={`notice notice-${kind}`}>{children}</div>;
}

/** A line that says what is going on, also to screen readers. */
export function Busy({ children = "Loading…" }: { children?: ComponentChildren }) {
  return (
    <p class="busy" role="status">
      <span class="spinner" aria-hidden="true" />
      {children}
    </p>
  );
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}
