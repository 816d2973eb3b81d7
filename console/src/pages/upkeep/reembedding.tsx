import { useEffect, useState } from "preact/hooks";

import { ApiError, NOT_FOUND } from "../../api/errors";
import type { Reembedding as Progressing, Space } from "../../api/types";
import { formatCount, formatPlural, formatTime, formatUsd } from "../../format";
import { Progress } from "../../parts/bar";
import { Confirm } from "../../parts/dialog";
import { Busy, ErrorNotice, Notice } from "../../parts/notice";
import { useSession, useTask } from "../../state";
import { NewModelForm } from "./new_model_form";

const POLL_MS = 1500;

type Ending = "cancel" | "commit" | "rollback";

const ENDINGS: Record<Ending, { title: string; text: string }> = {
  cancel: { title: "Cancel the re-embedding", text: "The next generation is dropped. The catalog keeps its model." },
  commit: { title: "Commit the new model", text: "The previous generation is dropped; there is no way back to it." },
  rollback: { title: "Roll back", text: "The previous generation serves again, and the new one is dropped." },
};

const STATES: Record<string, string> = {
  REEMBEDDING_STATE_EMBEDDING: "Embedding the texts",
  REEMBEDDING_STATE_INDEXING: "Building the index",
  REEMBEDDING_STATE_SERVING: "The new model serves",
};

/** Another model for the catalog: estimate, start, progress, and the decision at the end. */
export function Reembedding() {
  const { api } = useSession();
  // null: the catalog is not being re-embedded.
  const task = useTask<Progressing | null>();
  const load = () =>
    void task.run((signal) =>
      api.getReembedding(signal).catch((error: unknown) => {
        if (error instanceof ApiError && error.code === NOT_FOUND) return null;
        throw error;
      }),
    );
  useEffect(load, [api]);
  const isUnderWay = task.value && task.value.state !== "REEMBEDDING_STATE_SERVING";
  useEffect(() => {
    if (!isUnderWay) return;
    const timer = setInterval(load, POLL_MS);
    return () => clearInterval(timer);
  }, [api, isUnderWay]);
  return (
    <>
      <ErrorNotice error={task.error} onRetry={load} />
      {task.value === undefined && task.isRunning && <Busy />}
      {task.value && <State state={task.value} onEnd={load} />}
      {task.value === null && <NewModelForm onStart={load} />}
    </>
  );
}

function SpaceView({ space: { model, provider, dimensions, template, queryTemplate } = {} }: { space: Space | undefined }) {
  return (
    <dd>
      {model} ({provider}), {formatPlural(dimensions, "dimension")}
      <br />
      Items as <code>{template || "{text}"}</code>, queries as <code>{queryTemplate || "{text}"}</code>
    </dd>
  );
}

function State({ state, onEnd }: { state: Progressing; onEnd: () => void }) {
  const { api, scopes } = useSession();
  const [ending, setEnding] = useState<Ending>();
  const total = Number(state.itemCount ?? 0);
  const done = Number(state.embeddedItemCount ?? 0);
  const isServing = state.state === "REEMBEDDING_STATE_SERVING";
  const choices: Ending[] = isServing ? ["commit", "rollback"] : ["cancel"];
  return (
    <section class="card">
      <h2>{STATES[state.state ?? ""] ?? "Re-embedding"}</h2>
      <Progress
        share={total ? done / total : 1}
        label={`${formatCount(done)} of ${formatPlural(total, "item")} embedded`}
      />
      {state.errorReason && (
        <Notice kind="warning">
          <p>
            Not making progress: {state.errorMessage} <code>{state.errorReason}</code>
          </p>
        </Notice>
      )}
      <dl class="definitions">
        <dt>From</dt>
        <SpaceView space={state.fromSpace} />
        <dt>To</dt>
        <SpaceView space={state.toSpace} />
        <dt>Started</dt>
        <dd>{formatTime(state.startTime)}</dd>
        <dt>Rejected items</dt>
        <dd>{formatCount(state.rejectedItemCount)}</dd>
        <dt>Cost so far</dt>
        <dd>
          {formatUsd(state.costUsd)}, {formatPlural(state.promptTokenCount, "token")}
        </dd>
      </dl>
      {isServing && <p class="muted">Compare recommendations on the Explore page, then commit or roll back.</p>}
      {scopes.admin ? (
        <div class="actions">
          {choices.map((choice) => (
            <button
              key={choice}
              class={choice === "rollback" ? "button" : "button button-danger"}
              onClick={() => setEnding(choice)}
            >
              {ENDINGS[choice].title}
            </button>
          ))}
        </div>
      ) : (
        <p class="hint">Ending it needs a key with the scope admin.</p>
      )}
      {ending && (
        <Confirm
          title={ENDINGS[ending].title}
          verb={ENDINGS[ending].title}
          isDangerous={ending !== "rollback"}
          work={() => api.endReembedding(ending)}
          onClose={() => setEnding(undefined)}
          onDone={() => {
            setEnding(undefined);
            onEnd();
          }}
        >
          <p>{ENDINGS[ending].text}</p>
        </Confirm>
      )}
    </section>
  );
}
