import type { Catalog, PendingGroup } from "../../api/types";
import { formatAge, formatBytes, formatCount, formatEnum, formatPercent, formatPlural, formatTime } from "../../format";
import { Notice } from "../../parts/notice";

const POOR_UNKNOWN_SHARE = 0.2;

/** What is wrong with the catalog now, in words; one line if nothing is. */
export function Health({ catalog }: { catalog: Catalog }) {
  const { embeddingErrorReason, embeddingErrorMessage, unknownTextRatio = 0 } = catalog;
  return (
    <section class="stack" aria-label="Health">
      {embeddingErrorReason ? (
        <Notice kind="warning">
          <p>
            The last request to the embedding provider failed: {embeddingErrorMessage}{" "}
            <code>{embeddingErrorReason}</code>
          </p>
        </Notice>
      ) : (
        <p class="healthy">
          <span class="dot" aria-hidden="true" /> The API answers, and the embedding provider reports no error.
        </p>
      )}
      {unknownTextRatio > POOR_UNKNOWN_SHARE && (
        <Notice kind="warning">
          <p>
            The local model knows few words of {formatPercent(unknownTextRatio)} of the latest texts, so that
            recommendations for them are poor.
          </p>
        </Notice>
      )}
    </section>
  );
}

export function PendingCard({ groups }: { groups: PendingGroup[] }) {
  return (
    <section class="card">
      <h2>Pending items</h2>
      {groups.length === 0 && <p class="muted">All items are embedded.</p>}
      <ul class="rows">
        {groups.map(({ reason, message, itemCount, oldestUpdateTime }) => (
          <li key={`${reason} ${message}`}>
            <p>
              <strong>{formatPlural(itemCount, "item")}</strong> <span class="tag tag-warning">{reason}</span>
            </p>
            <p class="muted">{message}</p>
            {oldestUpdateTime && (
              <p class="muted">
                {Number(itemCount) === 1 ? "Written" : "The oldest was written"}{" "}
                <time dateTime={oldestUpdateTime} title={formatTime(oldestUpdateTime)}>
                  {formatAge(oldestUpdateTime)}
                </time>
              </p>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}

export function IndexCard({ catalog }: { catalog: Catalog }) {
  const { index = {}, space, vectorStorage, textFormat, indexKind } = catalog;
  const total = Number(index.vectorCount ?? 0);
  const inGraphs = Number(index.graphVectorCount ?? 0);
  const deleted = Number(index.deletedVectorCount ?? 0);
  const parts: [string, number, string][] = [
    ["in graphs", inGraphs, "part-a"],
    ["compared one by one", Math.max(0, total - inGraphs), "part-b"],
    ["deleted, still in graphs", deleted, "part-c"],
  ];
  return (
    <section class="card">
      <h2>Index</h2>
      <Composition parts={parts} />
      <dl class="definitions">
        <dt>Model</dt>
        <dd>
          {space?.model} ({space?.provider}), {formatPlural(space?.dimensions, "dimension")}
        </dd>
        {indexKind === "INDEX_KIND_SHARED" || catalog.nextIndexKind ? (
          <>
            <dt>Kind</dt>
            <dd>{describeKind(catalog)}</dd>
          </>
        ) : null}
        <dt>Neighbor lists</dt>
        <dd>{formatCount(index.neighborListCount)}</dd>
        <dt>Memory</dt>
        <dd>
          {formatBytes(index.memoryBytes)}, {formatEnum(vectorStorage, "VECTOR_STORAGE_")}
        </dd>
        <dt>Background</dt>
        <dd>{index.building ? "Graphs or neighbor lists are being built" : "No build under way"}</dd>
        <dt>Texts</dt>
        <dd>{formatEnum(textFormat, "TEXT_FORMAT_")}</dd>
      </dl>
    </section>
  );
}

/** Return the kind of index, and how far a change or a build is. */
function describeKind({ indexKind, nextIndexKind, indexProgress }: Catalog): string {
  const words = [formatEnum(indexKind, "INDEX_KIND_")];
  if (nextIndexKind) words.push(`changing to ${formatEnum(nextIndexKind, "INDEX_KIND_")}`);
  if (indexProgress) words.push(`${Math.round(100 * indexProgress)}% built`);
  return words.join(", ");
}

function Composition({ parts }: { parts: [string, number, string][] }) {
  const total = parts.reduce((sum, [, count]) => sum + count, 0);
  const starts = parts.map((_, index) => parts.slice(0, index).reduce((sum, [, count]) => sum + count, 0));
  return (
    <figure class="composition">
      <svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" focusable="false">
        <rect class="part-none" width="100" height="6" />
        {parts.map(([name, count, style], index) => (
          <rect
            key={name}
            class={style}
            x={total ? (100 * (starts[index] ?? 0)) / total : 0}
            width={total ? (100 * count) / total : 0}
            height="6"
          />
        ))}
      </svg>
      <figcaption>
        {parts.map(([name, count, style]) => (
          <span key={name}>
            <svg class="swatch" viewBox="0 0 10 10" aria-hidden="true" focusable="false">
              <rect class={style} width="10" height="10" rx="2" />
            </svg>
            {formatCount(count)} {name}
          </span>
        ))}
      </figcaption>
    </figure>
  );
}
