import { useState } from "preact/hooks";

import { PageHead } from "../../parts/layout";
import { Tabs } from "../../parts/tabs";
import { Duplicates } from "./duplicates";
import { Outliers } from "./outliers";
import { Reembedding } from "./reembedding";

const TABS = { duplicates: "Near-duplicates", outliers: "Outliers", reembedding: "Re-embedding" };

type Tab = keyof typeof TABS;

const PANELS = { duplicates: Duplicates, outliers: Outliers, reembedding: Reembedding };

/** What keeps a catalog in good order. */
export function Upkeep() {
  const [tab, setTab] = useState<Tab>("duplicates");
  // A panel that was open stays, so that a search goes on and its results are there again.
  const [opened, setOpened] = useState<Tab[]>([tab]);
  const open = (next: Tab) => {
    setTab(next);
    if (!opened.includes(next)) setOpened([...opened, next]);
  };
  return (
    <>
      <PageHead title="Upkeep" />
      <Tabs label="Upkeep" value={tab} tabs={TABS} onValue={open}>
        {opened.map((name) => {
          const Panel = PANELS[name];
          return (
            <div key={name} class="tab-panel" hidden={name !== tab}>
              <Panel />
            </div>
          );
        })}
      </Tabs>
    </>
  );
}
