import type { Answer } from "../../api/http";
import type { RecommendRequest, RecommendResponse, Signals } from "../../api/types";
import { formatPercent, formatPlural, formatUsd } from "../../format";
import { Busy, Empty, ErrorNotice } from "../../parts/notice";
import { useTitles } from "../../parts/titles";
import { type Task, useSession } from "../../state";
import { RecommendationCard } from "./recommendation_card";

/** A request with its answer: the page always shows the request that was sent. */
export interface Outcome {
  request: RecommendRequest;
  answer: Answer<RecommendResponse>;
  elapsedMs: number;
}

interface ResultColumnProps {
  task: Task<Outcome>;
  onRetry: () => void;
  other: Outcome | undefined;
  otherName: string;
}

export function ResultColumn({ task, onRetry, other, otherName }: ResultColumnProps) {
  const { api } = useSession();
  const response = task.value?.answer.value;
  const recommendations = response?.recommendations ?? [];
  const sources = recommendations.flatMap(({ explanations = [] }) => explanations.flatMap(({ itemId }) => itemId ?? []));
  const titleOf = useTitles(api, sources);
  const otherRanks = new Map(
    (other?.answer.value.recommendations ?? []).map(({ itemId }, index) => [itemId, index + 1]),
  );
  const topScore = Math.max(0, ...recommendations.map(({ score = 0 }) => score));
  return (
    <div class={task.isRunning ? "results is-stale" : "results"} aria-busy={task.isRunning}>
      <ErrorNotice error={task.error} onRetry={onRetry} />
      {task.isRunning && !task.value && <Busy />}
      {task.value && !task.error ? <Summary outcome={task.value} /> : null}
      {task.value && !recommendations.length && !task.error && <Empty>{describeEmpty(task.value.request)}</Empty>}
      {!task.error && (
        <ol class="result-list">
          {recommendations.map((recommendation, index) => (
            <RecommendationCard
              key={recommendation.itemId}
              recommendation={recommendation}
              rank={index + 1}
              otherRank={other ? (otherRanks.get(recommendation.itemId) ?? 0) : undefined}
              otherName={otherName}
              topScore={topScore}
              catalog={api.name}
              titleOf={titleOf}
            />
          ))}
        </ol>
      )}
    </div>
  );
}

function Summary({ outcome }: { outcome: Outcome }) {
  const { value, serverMs } = outcome.answer;
  const count = value.recommendations?.length ?? 0;
  const missing = value.missingItemIds ?? [];
  const parts = [
    formatPlural(count, "item"),
    serverMs === undefined ? `${outcome.elapsedMs.toFixed(0)} ms` : `${serverMs.toFixed(1)} ms in the server`,
    describeSignals(value.signals),
    ...(value.usage?.costUsd ? [`embedding cost ${formatUsd(value.usage.costUsd)}`] : []),
  ];
  return (
    <>
      <p class="summary" role="status">
        {parts.filter(Boolean).join(" · ")}
      </p>
      {missing.length > 0 && <p class="hint">Ignored, because they have no vector: {missing.join(", ")}</p>}
    </>
  );
}

/** Say why there is no recommendation, as far as the request shows it. */
function describeEmpty({ popular, relation, filter, minScore }: RecommendRequest): string {
  const isLimited = filter !== undefined || minScore !== undefined;
  if (popular !== undefined || relation === "RELATION_ALSO_LIKED") {
    const reason = "The catalog has not learned enough from interactions for this";
    return isLimited ? `${reason}, or no item passes the filter and the minimum score.` : `${reason}.`;
  }
  return isLimited ? "No item passes the filter and the minimum score." : "There is nothing to recommend.";
}

function describeSignals(signals: Signals | undefined): string {
  const { textWeight = 0, behaviorWeight = 0 } = signals ?? {};
  if (!textWeight && !behaviorWeight) return "";
  if (!behaviorWeight) return "by text";
  if (!textWeight) return "by interactions";
  return `${formatPercent(textWeight)} text, ${formatPercent(behaviorWeight)} interactions`;
}
