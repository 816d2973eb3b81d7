import { listCatalogs } from "../../api/methods";
import { ApiError, PERMISSION_DENIED } from "../../api/errors";
import type { Catalog } from "../../api/types";
import { formatCount } from "../../format";
import { PageHead } from "../../parts/layout";
import { Busy, ErrorNotice } from "../../parts/notice";
import { useLoaded, useSession } from "../../state";
import { CatalogTable } from "./catalog_table";
import { Health, IndexCard, PendingCard } from "./health";
import { LearningCard } from "./learning";
import { SettingsCard } from "./settings_card";
import { SpendCard } from "./spend";

interface Loaded {
  catalog: Catalog;
  /** Undefined if the key is for this catalog only. */
  catalogs: Catalog[] | undefined;
}

export function Overview() {
  const { api } = useSession();
  const task = useLoaded<Loaded>(
    async (signal) => {
      const catalog = await api.get(signal);
      const catalogs = await listCatalogs(signal).catch((error: unknown) => {
        if (error instanceof ApiError && error.code === PERMISSION_DENIED) return undefined;
        throw error;
      });
      return { catalog, catalogs };
    },
    [api],
  );
  const { catalog, catalogs } = task.value ?? {};
  return (
    <>
      <PageHead title="Overview">
        <button class="button button-small" onClick={task.reload} disabled={task.isRunning}>
          Refresh
        </button>
      </PageHead>
      <ErrorNotice error={task.error} onRetry={task.reload} />
      {!task.value && task.isRunning && <Busy />}
      {catalog && (
        <>
          <Figures catalog={catalog} />
          {task.error ? null : <Health catalog={catalog} />}
          <div class="columns">
            <PendingCard groups={catalog.pendingItems ?? []} />
            <IndexCard catalog={catalog} />
            <SpendCard days={catalog.dailyUsage ?? []} />
            <SettingsCard catalog={catalog} onChange={task.reload} />
            <LearningCard catalog={catalog} />
            <MissingCard />
          </div>
        </>
      )}
      {catalogs && <CatalogTable catalogs={catalogs} current={api.name} />}
    </>
  );
}

function Figures({ catalog }: { catalog: Catalog }) {
  const figures: [string, string | undefined][] = [
    ["Items", catalog.itemCount],
    ["Users", catalog.userCount],
    ["Interactions", catalog.interactionCount],
    ["Vectors", catalog.index?.vectorCount],
  ];
  return (
    <dl class="figures">
      {figures.map(([name, count]) => (
        <div key={name} class="card figure">
          <dt>{name}</dt>
          <dd>{formatCount(count)}</dd>
        </div>
      ))}
    </dl>
  );
}

function MissingCard() {
  return (
    <section class="card">
      <h2>Not on this page</h2>
      <p class="muted">The API does not give:</p>
      <ul class="bullets">
        <li>the state of each worker and replica, and call rates: the metrics listener has them</li>
        <li>the spend of a single catalog: usage is counted for all catalogs together</li>
      </ul>
    </section>
  );
}
