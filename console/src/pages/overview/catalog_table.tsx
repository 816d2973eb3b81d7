import type { Catalog } from "../../api/types";
import { formatCount } from "../../format";
import { buildLink } from "../../router";

export function countPending(catalog: Catalog): number {
  return (catalog.pendingItems ?? []).reduce((sum, { itemCount }) => sum + Number(itemCount ?? 0), 0);
}

export function CatalogTable({ catalogs, current }: { catalogs: Catalog[]; current: string }) {
  return (
    <section class="stack">
      <h2 id="catalogs">Catalogs</h2>
      <div class="table-scroll" role="region" aria-labelledby="catalogs" tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th scope="col">Name</th>
              <th scope="col">Model</th>
              <th scope="col" class="number">
                Items
              </th>
              <th scope="col" class="number">
                Pending
              </th>
              <th scope="col" class="number">
                Users
              </th>
            </tr>
          </thead>
          <tbody>
            {catalogs.map((catalog) => (
              <tr key={catalog.name}>
                <td>
                  <a
                    href={buildLink(catalog.name, "overview")}
                    aria-current={catalog.name === current ? "true" : undefined}
                  >
                    {catalog.name}
                  </a>
                </td>
                <td>{catalog.space?.model}</td>
                <td class="number">{formatCount(catalog.itemCount)}</td>
                <td class="number">{formatCount(countPending(catalog))}</td>
                <td class="number">{formatCount(catalog.userCount)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
