import { useState } from "preact/hooks";

import { PageHead } from "../../parts/layout";
import { Tabs } from "../../parts/tabs";
import { Duplicates } from "./duplicates";
import { Outliers } from "./outliers";
import { Reembedding } from "./reembedding";

const TABS = { duplicates: "Near-duplicates", outliers: "Outliers", reembedding: "Re-embedding" };

const PANELS = { duplicates: Duplicates, outliers: Outliers, reembedding: Reembedding };

/** What keeps a catalog in good order. */
export function Upkeep() {
  const [tab, setTab] = useState<keyof typeof TABS>("duplicates");
  const Panel = PANELS[tab];
  return (
    <>
      <PageHead title="Upkeep" />
      <Tabs label="Upkeep" value={tab} tabs={TABS} onValue={setTab}>
        <Panel />
      </Tabs>
    </>
  );
}
