import type { Relation } from "../../api/types";
import { describeFilter } from "../../filters";
import { CheckField, RangeField, SelectField, TextField } from "../../parts/field";
import { FilterBuilder } from "../../parts/filter_builder";
import type { Settings, SourceKind } from "./request";

const RELATIONS: Record<Relation, string> = {
  RELATION_SIMILAR: "Texts, without interactions",
  RELATION_ALSO_LIKED: "Interactions only",
  RELATION_BOTH: "Texts and interactions",
};

const SEEN: Record<Settings["seen"], string> = {
  excluded: "Left out (default)",
  allowed: "Recommended as well",
};

interface SettingsPanelProps {
  kind: SourceKind;
  settings: Settings;
  onSettings: (settings: Settings) => void;
}

/** The controls of one side. */
export function SettingsPanel({ kind, settings, onSettings }: SettingsPanelProps) {
  const set = (part: Partial<Settings>) => onSettings({ ...settings, ...part });
  return (
    <div class="settings">
      <div class="settings-row">
        <RangeField
          label="Diversity"
          value={settings.diversity}
          max={1}
          step={0.05}
          onValue={(diversity) => set({ diversity })}
        />
        {kind === "item" && (
          <SelectField
            label="Based on"
            value={settings.relation}
            options={RELATIONS}
            onValue={(relation) => set({ relation })}
          />
        )}
        {kind === "user" && (
          <SelectField
            label="Already liked or bought"
            value={settings.seen}
            options={SEEN}
            onValue={(seen) => set({ seen })}
          />
        )}
        {kind === "texts" && (
          <TextField
            label="Weight of exact words"
            type="number"
            value={settings.lexicalWeight}
            onValue={(lexicalWeight) => set({ lexicalWeight })}
            placeholder="server's setting"
            bounds={{ min: 0, max: 1, step: 0.1 }}
          />
        )}
      </div>
      <details>
        <summary>
          Filter <span class="muted">· {describeFilter(settings.rows)}</span>
        </summary>
        <FilterBuilder rows={settings.rows} onRows={(rows) => set({ rows })} />
      </details>
      <details>
        <summary>More settings</summary>
        <MoreSettings settings={settings} set={set} />
      </details>
    </div>
  );
}

function MoreSettings({ settings, set }: { settings: Settings; set: (part: Partial<Settings>) => void }) {
  return (
    <div class="settings-grid">
      <TextField
        label="Results"
        type="number"
        value={settings.limit}
        onValue={(limit) => set({ limit })}
        bounds={{ min: 1, max: 1000 }}
      />
      <TextField
        label="Minimum score"
        type="number"
        value={settings.minScore}
        onValue={(minScore) => set({ minScore })}
        placeholder="none"
        bounds={{ step: "any" }}
      />
      <TextField
        label="Leave out near-duplicates from similarity"
        type="number"
        value={settings.maxSimilarity}
        onValue={(maxSimilarity) => set({ maxSimilarity })}
        placeholder="not excluded"
        bounds={{ min: -1, max: 1, step: 0.05 }}
      />
      <TextField
        label="One item for each value of attribute"
        value={settings.groupBy}
        onValue={(groupBy) => set({ groupBy })}
        placeholder="such as author"
      />
      <TextField
        label="New item boost"
        type="number"
        value={settings.newItemBoost}
        onValue={(newItemBoost) => set({ newItemBoost })}
        placeholder="catalog's setting"
        bounds={{ min: 0, max: 10, step: 0.5 }}
      />
      <CheckField label="Search exhaustively" checked={settings.exact} onValue={(exact) => set({ exact })} />
      <p class="hint settings-note">
        How similarities to several sources are combined, and whether interactions count for users and texts, are
        settings of the catalog. The overview shows them.
      </p>
    </div>
  );
}
