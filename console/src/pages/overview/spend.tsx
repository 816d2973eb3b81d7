import { useMemo } from "preact/hooks";

import type { DailyUsage } from "../../api/types";
import { formatCount, formatUsd } from "../../format";
import { Empty } from "../../parts/notice";
import { SpendChart } from "../../parts/spend_chart";

/** The embedding usage of the last days. Without charges, the chart shows tokens. */
export function SpendCard({ days }: { days: DailyUsage[] }) {
  const total = days.reduce((sum, { costUsd = 0 }) => sum + costUsd, 0);
  const unit = total > 0 ? "usd" : "tokens";
  const values = useMemo(
    () =>
      [...days].reverse().map(({ day, costUsd = 0, promptTokenCount = "0" }) => ({
        day,
        value: unit === "usd" ? costUsd : Number(promptTokenCount),
      })),
    [days],
  );
  return (
    <section class="card">
      <h2>Embedding by day</h2>
      <p class="muted">
        {unit === "usd" ? `${formatUsd(total)} in all catalogs, for the days below` : "Tokens in all catalogs"}
      </p>
      {days.length === 0 ? (
        <Empty>No provider has counted tokens. The local model costs nothing.</Empty>
      ) : (
        <>
          <SpendChart days={values} unit={unit} />
          <details>
            <summary>As a table</summary>
            <div class="table-scroll">
              <table>
                <thead>
                  <tr>
                    <th scope="col">Day (UTC)</th>
                    <th scope="col" class="number">
                      Tokens
                    </th>
                    <th scope="col" class="number">
                      Cost
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {days.map(({ day, promptTokenCount, costUsd }) => (
                    <tr key={day}>
                      <td>{day}</td>
                      <td class="number">{formatCount(promptTokenCount)}</td>
                      <td class="number">{formatUsd(costUsd)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          </details>
        </>
      )}
    </section>
  );
}
