interface PagerProps {
  /** The number of the page, from 1. */
  page: number;
  hasNext: boolean;
  onPrevious: () => void;
  onNext: () => void;
}

export function Pager({ page, hasNext, onPrevious, onNext }: PagerProps) {
  if (page === 1 && !hasNext) return null;
  return (
    <nav class="actions pager" aria-label="Pages of the list">
      <button class="button button-small" disabled={page === 1} onClick={onPrevious}>
        Previous
      </button>
      <span class="muted">Page {page}</span>
      <button class="button button-small" disabled={!hasNext} onClick={onNext}>
        Next
      </button>
    </nav>
  );
}
