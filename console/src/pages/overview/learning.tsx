import type { BehaviorModel, Catalog, ClickThrough } from "../../api/types";
import { formatCount, formatPercent, formatPlural, formatTime } from "../../format";

export function LearningCard({ catalog: { behaviorModel, clickThrough = [] } }: { catalog: Catalog }) {
  return (
    <section class="card">
      <h2>Learning from interactions</h2>
      {behaviorModel ? (
        <Model model={behaviorModel} />
      ) : (
        <p class="muted">Nothing is learned yet. Text alone ranks.</p>
      )}
      {clickThrough.length > 0 && <ClickThroughs rows={clickThrough} />}
    </section>
  );
}

function Model({ model }: { model: BehaviorModel }) {
  const { ndcgGain = 0, ndcgGainLowerBound = 0, textNdcg = 0, behaviorWeight = 0, textWeight = 0 } = model;
  return (
    <dl class="definitions">
      <dt>Trained</dt>
      <dd>{formatTime(model.trainTime)}</dd>
      <dt>Learned from</dt>
      <dd>
        {formatPlural(model.likeCount, "like")}, about {formatPlural(model.itemCount, "item")}
      </dd>
      <dt>Weights</dt>
      <dd>
        {formatPercent(textWeight)} text, {formatPercent(behaviorWeight)} interactions
      </dd>
      <dt>Quality of predictions</dt>
      <dd>
        {textNdcg.toFixed(3)} by text alone, {(textNdcg + ndcgGain).toFixed(3)} with interactions, from 0 to 1 (nDCG@20)
      </dd>
      <dt>Gain by interactions</dt>
      <dd>
        {ndcgGain.toFixed(3)}, with 95% confidence at least {ndcgGainLowerBound.toFixed(3)}, tested with{" "}
        {formatPlural(model.testUserCount, "user")}. Interactions are used if this bound is above 0.
      </dd>
    </dl>
  );
}

function ClickThroughs({ rows }: { rows: ClickThrough[] }) {
  return (
    <div class="table-scroll">
      <table>
        <caption>Responses of the last 30 days, and how many led to interactions</caption>
        <thead>
          <tr>
            <th scope="col">Source</th>
            <th scope="col">Based on</th>
            <th scope="col" class="number">
              Responses
            </th>
            <th scope="col" class="number">
              Clicked
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map(({ source, signals, responseCount = "0", clickedResponseCount = "0" }) => (
            <tr key={`${source} ${signals}`}>
              <td>{source}</td>
              <td>{signals}</td>
              <td class="number">{formatCount(responseCount)}</td>
              <td class="number">
                {formatCount(clickedResponseCount)} ({formatPercent(Number(clickedResponseCount) / Number(responseCount))})
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
