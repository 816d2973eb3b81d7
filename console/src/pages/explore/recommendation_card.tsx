import type { Explanation, Recommendation } from "../../api/types";
import { findTitle, formatScore, listFacts, stripMarkup } from "../../format";
import { Bar } from "../../parts/bar";
import { buildLink } from "../../router";

/** The rank of an item on the other side, from 1; 0 if it is not among those results. */
export type OtherRank = number | undefined;

interface CardProps {
  recommendation: Recommendation;
  rank: number;
  otherRank: OtherRank;
  otherName: string;
  topScore: number;
  catalog: string;
  titleOf: (id: string) => string;
}

export function RecommendationCard(props: CardProps) {
  const { recommendation, rank, otherRank, otherName, topScore, catalog, titleOf } = props;
  const { itemId, score = 0, explanations = [], item } = recommendation;
  return (
    <li class="card result">
      <div class="result-head">
        <span class="rank" aria-label={`Rank ${rank}`}>
          {rank}
        </span>
        <div class="result-name">
          <h3 dir="auto">{findTitle(item, itemId)}</h3>
          <a class="id" href={buildLink(catalog, "items", { id: itemId })}>
            {itemId}
          </a>
        </div>
        <Movement rank={rank} otherRank={otherRank} otherName={otherName} />
      </div>
      <div class="result-score">
        <Bar share={topScore > 0 ? score / topScore : 0} />
        <span class="score" title="Score">
          {formatScore(score)}
        </span>
      </div>
      {item && <p class="excerpt" dir="auto">{stripMarkup(item.text)}</p>}
      <dl class="facts">
        {listFacts(item, 4).map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd dir="auto">{value}</dd>
          </div>
        ))}
      </dl>
      {explanations.length > 0 && (
        <ul class="reasons" aria-label="Explanations">
          {explanations.map((explanation, index) => (
            <li key={index}>
              <Reason explanation={explanation} titleOf={titleOf} />
            </li>
          ))}
        </ul>
      )}
      <a class="more" href={buildLink(catalog, "explore", { item: itemId })}>
        Explore from this item
      </a>
    </li>
  );
}

function Movement({ rank, otherRank, otherName }: { rank: number; otherRank: OtherRank; otherName: string }) {
  if (otherRank === undefined) return null;
  if (otherRank === 0) return <span class="movement movement-new">not in {otherName}</span>;
  if (otherRank === rank) return <span class="movement">same in {otherName}</span>;
  return (
    <span class="movement">
      rank {otherRank} in {otherName}
    </span>
  );
}

function Reason({ explanation, titleOf }: { explanation: Explanation; titleOf: (id: string) => string }) {
  const { itemId, text, similarity = 0, signal, matchedWords = [] } = explanation;
  const part = itemId ? titleOf(itemId) : `“${text ?? ""}”`;
  if (signal === "SIGNAL_BEHAVIOR") {
    return (
      <>
        <span class="tag tag-behavior">interactions</span> People who like {part} also like this.
      </>
    );
  }
  return (
    <>
      <span class="tag tag-text">text {similarity.toFixed(2)}</span> Similar to {part}
      {matchedWords.length > 0 && <span class="muted"> · words: {matchedWords.join(", ")}</span>}
    </>
  );
}
