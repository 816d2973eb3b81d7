import { useState } from "preact/hooks";

import type { EmbeddingModel, Estimate } from "../../api/types";
import { formatCount, formatDuration, formatPlural, formatUsd } from "../../format";
import { Confirm } from "../../parts/dialog";
import { TextField } from "../../parts/field";
import { Busy, ErrorNotice, Notice } from "../../parts/notice";
import { useSession, useTask } from "../../state";

export function NewModelForm({ onStart }: { onStart: () => void }) {
  const { api, scopes } = useSession();
  const [provider, setProvider] = useState("");
  const [model, setModel] = useState("");
  const [dimensions, setDimensions] = useState("");
  const [template, setTemplate] = useState("");
  const [queryTemplate, setQueryTemplate] = useState("");
  const [isStarting, setStarting] = useState(false);
  const estimate = useTask<Estimate>();
  const embedding: EmbeddingModel = {
    ...(provider.trim() ? { provider: provider.trim() } : {}),
    ...(model.trim() ? { model: model.trim() } : {}),
    ...(Number(dimensions) > 0 ? { dimensions: Number(dimensions) } : {}),
    ...(template ? { template } : {}),
    ...(queryTemplate ? { queryTemplate } : {}),
  };
  if (!scopes.admin) return <Notice>Re-embedding needs a key with the scope admin.</Notice>;
  return (
    <>
      <form
        class="card"
        onSubmit={(event) => {
          event.preventDefault();
          void estimate.run(() => api.estimateReembedding(embedding));
        }}
      >
        <p class="muted">
          The catalog keeps serving while its texts are embedded with another model. Afterwards you commit or roll back.
        </p>
        <div class="settings-row">
          <TextField label="Provider" value={provider} onValue={setProvider} placeholder="as the server is set" />
          <TextField label="Model" value={model} onValue={setModel} placeholder="as the server is set" />
          <TextField
            label="Dimensions"
            type="number"
            value={dimensions}
            onValue={setDimensions}
            placeholder="the model's own"
            bounds={{ min: 1, max: 65536 }}
          />
        </div>
        <details>
          <summary>Templates</summary>
          <div class="settings-row">
            <TextField label="Text of an item" value={template} onValue={setTemplate} placeholder="{text}" />
            <TextField label="Text of a query" value={queryTemplate} onValue={setQueryTemplate} placeholder="{text}" />
          </div>
          <p class="hint">
            <code>{"{text}"}</code> stands for the text. Empty: the template that suits the model.
          </p>
        </details>
        <div class="actions">
          <button class="button" disabled={estimate.isRunning}>
            Estimate
          </button>
          <button type="button" class="button button-main" onClick={() => setStarting(true)}>
            Start re-embedding
          </button>
          {estimate.isRunning && <Busy>Estimating…</Busy>}
        </div>
        <ErrorNotice error={estimate.error} />
        {estimate.value && <EstimateView estimate={estimate.value} />}
      </form>
      {isStarting && (
        <Confirm
          title="Start re-embedding"
          verb="Start"
          isDangerous={false}
          work={async () => void (await api.startReembedding(embedding))}
          onClose={() => setStarting(false)}
          onDone={onStart}
        >
          <p>
            All texts of the catalog <strong>{api.name}</strong> are embedded with{" "}
            {embedding.model ? <code>{embedding.model}</code> : "the model of the server's settings"}, which the provider
            may charge.
          </p>
        </Confirm>
      )}
    </>
  );
}

function EstimateView({ estimate }: { estimate: Estimate }) {
  const { space, textCount, cachedTextCount, promptTokenCount, costUsd, duration, sampled } = estimate;
  return (
    <dl class="definitions">
      <dt>Model</dt>
      <dd>
        {space?.model} ({space?.provider}), {formatPlural(space?.dimensions, "dimension")}
      </dd>
      <dt>Texts</dt>
      <dd>
        {formatCount(textCount)}, of which {formatCount(cachedTextCount)} are embedded already
        {sampled ? " (scaled up from a sample)" : ""}
      </dd>
      <dt>Tokens</dt>
      <dd>{formatCount(promptTokenCount)}</dd>
      <dt>Cost</dt>
      <dd>{formatUsd(costUsd)}</dd>
      <dt>Duration</dt>
      <dd>at least {formatDuration(duration)}</dd>
    </dl>
  );
}
