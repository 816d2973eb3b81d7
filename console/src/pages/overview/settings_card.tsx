import { useState } from "preact/hooks";

import type { Catalog, CatalogSettings } from "../../api/types";
import { formatEnum } from "../../format";
import { Confirm } from "../../parts/dialog";
import { SelectField, TextField } from "../../parts/field";
import { useSession } from "../../state";

const SIGNALS: Record<string, string> = {
  SIGNAL_MODE_UNSPECIFIED: "As the server is set",
  SIGNAL_MODE_AUTO: "Text, and interactions if they help",
  SIGNAL_MODE_TEXT: "Text alone",
  SIGNAL_MODE_BEHAVIOR: "Interactions, and text beside them",
};

const RANKINGS = {
  RANKING_UNSPECIFIED: "As the server is set",
  RANKING_POOLED: "Pooled: a soft maximum over the sources",
  RANKING_NEAREST: "Nearest: the most similar source",
  RANKING_MEAN: "Mean: the mean vector of the sources",
};

/** How the catalog recommends. A key with the scope `admin` can change it. */
export function SettingsCard({ catalog, onChange }: { catalog: Catalog; onChange: () => void }) {
  const { scopes } = useSession();
  const [isEditing, setEditing] = useState(false);
  const { signals, ranking, newItemBoost = 0, prior } = catalog.settings ?? {};
  return (
    <section class="card">
      <h2>How the catalog recommends</h2>
      <dl class="definitions">
        <dt>Based on</dt>
        <dd>{SIGNALS[signals ?? "SIGNAL_MODE_UNSPECIFIED"] ?? signals}</dd>
        <dt>Ranking</dt>
        <dd>{ranking ? formatEnum(ranking, "RANKING_") : RANKINGS.RANKING_UNSPECIFIED}</dd>
        <dt>New item boost</dt>
        <dd>{newItemBoost}</dd>
        <dt>Attribute that changes scores</dt>
        <dd>{prior?.attribute ? `${prior.attribute}, weight ${prior.weight ?? 0.2}` : "As the server is set"}</dd>
      </dl>
      {scopes.admin && (
        <div>
          <button class="button button-small" onClick={() => setEditing(true)}>
            Change the settings
          </button>
        </div>
      )}
      {isEditing && (
        <Editor settings={catalog.settings ?? {}} onClose={() => setEditing(false)} onChange={onChange} />
      )}
    </section>
  );
}

interface EditorProps {
  settings: CatalogSettings;
  onClose: () => void;
  onChange: () => void;
}

function Editor({ settings, onClose, onChange }: EditorProps) {
  const { api } = useSession();
  const [signals, setSignals] = useState(settings.signals ?? "SIGNAL_MODE_UNSPECIFIED");
  const [ranking, setRanking] = useState(settings.ranking ?? "RANKING_UNSPECIFIED");
  const [boost, setBoost] = useState(String(settings.newItemBoost ?? 0));
  const save = async () => {
    await api.update({ signals, ranking, newItemBoost: Number(boost) }, "signals,ranking,newItemBoost");
    onChange();
  };
  return (
    <Confirm title="How the catalog recommends" verb="Save" isDangerous={false} work={save} onClose={onClose}>
      <SelectField<string> label="Based on" value={signals} options={SIGNALS} onValue={setSignals} />
      <SelectField<string> label="Ranking" value={ranking} options={RANKINGS} onValue={setRanking} />
      <TextField
        label="New item boost"
        type="number"
        value={boost}
        onValue={setBoost}
        bounds={{ min: 0, max: 10, step: 0.5 }}
        hint="0 to 10. With 2, a new item comes no later than text alone would recommend it."
      />
    </Confirm>
  );
}
