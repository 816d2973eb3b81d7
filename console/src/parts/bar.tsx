/** A thin bar that shows a share between 0 and 1. Numbers beside it say the same. */
export function Bar({ share }: { share: number }) {
  const width = 100 * Math.min(1, Math.max(0, share));
  return (
    <svg class="bar" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" focusable="false">
      <rect class="bar-back" width="100" height="4" rx="2" />
      <rect class="bar-front" width={width} height="4" rx="2" />
    </svg>
  );
}

export function Progress({ share, label }: { share: number; label: string }) {
  return (
    <div class="progress">
      <progress max={1} value={Math.min(1, share)} aria-label={label} />
      <span>{label}</span>
    </div>
  );
}
