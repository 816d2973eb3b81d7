import { useEffect, useState } from "preact/hooks";

import type { CatalogApi } from "../../api/methods";
import { CheckField, Choice } from "../../parts/field";
import { PageHead } from "../../parts/layout";
import { buildLink, useRoute } from "../../router";
import { type Task, useScrollUp, useSession, useTask } from "../../state";
import { DEFAULT_SETTINGS, type Settings, type Source, buildRequest } from "./request";
import { type Outcome, ResultColumn } from "./result_column";
import { SettingsPanel } from "./settings_panel";
import { SnippetPanel } from "./snippet_panel";
import { readSource, writeSource } from "./source_address";
import { SourcePanel } from "./source_panel";

type Side = "A" | "B";

const SIDES: Record<Side, string> = { A: "Setting A", B: "Setting B" };


async function recommend(api: CatalogApi, source: Source, settings: Settings, signal: AbortSignal): Promise<Outcome> {
  const request = buildRequest(source, settings);
  if (!request) throw new Error("Type a text with a weight other than 0.");
  const start = performance.now();
  const answer = await api.recommend(request, signal);
  return { request, answer, elapsedMs: performance.now() - start };
}

/** Recommendations for one source, side by side for two settings. */
export function Explore() {
  const { api } = useSession();
  const route = useRoute();
  const [source, setSource] = useState(() => readSource(route.query));
  const [isComparing, setComparing] = useState(true);
  const [shown, setShown] = useState<Side>("A");
  const [typed, setTyped] = useState(0);
  const linked = route.query.toString();
  const changeSource = (next: Source) => {
    if (next.kind !== source.kind) setTyped(0);
    setSource(next);
    location.hash = buildLink(api.name, "explore", writeSource(next));
  };
  useEffect(() => {
    // Texts are not in the address, so that one which names the present source must not replace it.
    if (new URLSearchParams(writeSource(source)).toString() === linked) return;
    setTyped(0);
    setSource(readSource(route.query));
    // Each new address counts, also one that is like the last one that was seen: a quick "back" replaces the address
    // of a source before this page has seen it.
  }, [route]);
  useScrollUp(linked);

  // Texts that are being typed are sent by their button only; other changes at once.
  const sent = source.kind === "texts" ? `texts ${typed}` : JSON.stringify(source);
  const a = useSide(source, sent, true, DEFAULT_SETTINGS);
  const b = useSide(source, sent, isComparing, { ...DEFAULT_SETTINGS, diversity: 0.5 });
  const sides: [Side, SideState][] = isComparing ? [["A", a], ["B", b]] : [["A", a]];
  const outcomes: Record<Side, Outcome | undefined> = { A: a.task.value, B: isComparing ? b.task.value : undefined };
  const isReady = source.kind === "texts" ? typed > 0 : buildRequest(source, DEFAULT_SETTINGS) !== undefined;

  return (
    <>
      <PageHead title="Explore">
        <CheckField label="Compare two settings" checked={isComparing} onValue={setComparing} />
      </PageHead>
      <SourcePanel
        source={source}
        onSource={changeSource}
        onSubmit={() => setTyped((count) => count + 1)}
      />
      {isReady && isComparing && (
        <div class="side-choice">
          <Choice legend="Setting to show" value={shown} options={SIDES} onValue={setShown} />
        </div>
      )}
      {isReady && (
        <div class={`sides sides-${sides.length} shows-${isComparing ? shown : "A"}`}>
          {sides.map(([side, { settings, setSettings, task, run }]) => {
            const other = side === "A" ? "B" : "A";
            return (
              <section key={side} class={`side side-${side}`} aria-label={SIDES[side]}>
                <h2 class="side-title">{isComparing ? SIDES[side] : "Settings"}</h2>
                <SettingsPanel kind={source.kind} settings={settings} onSettings={setSettings} />
                {task.value && <SnippetPanel request={task.value.request} name={isComparing ? side : ""} />}
                <ResultColumn task={task} onRetry={run} other={outcomes[other]} otherName={other} />
              </section>
            );
          })}
        </div>
      )}
    </>
  );
}

interface SideState {
  settings: Settings;
  setSettings: (settings: Settings) => void;
  task: Task<Outcome>;
  run: () => void;
}

const TYPING_PAUSE_MS = 250;

/** The settings of one side, and the results for them. */
function useSide(source: Source, sent: string, isShown: boolean, initial: Settings): SideState {
  const { api } = useSession();
  const [settings, setSettings] = useState(initial);
  const task = useTask<Outcome>();
  const isWanted = isShown && buildRequest(source, settings) !== undefined && sent !== "texts 0";
  useEffect(() => {
    task.set(undefined);
  }, [source.kind]);
  const run = () => void task.run((signal) => recommend(api, source, settings, signal));
  useEffect(() => {
    if (!isWanted) {
      task.cancel();
      return;
    }
    const timer = setTimeout(run, task.value ? TYPING_PAUSE_MS : 0);
    return () => clearTimeout(timer);
  }, [api, sent, isWanted, JSON.stringify(settings)]);
  return { settings, setSettings, task, run };
}
