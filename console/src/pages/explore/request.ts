import type { Example, RecommendRequest, Relation } from "../../api/types";
import { type FilterRow, buildFilter } from "../../filters";

export interface WeightedText {
  text: string;
  weight: string;
}

/** What to recommend items for. */
export type Source =
  | { kind: "item"; itemId: string }
  | { kind: "user"; userId: string }
  | { kind: "texts"; texts: WeightedText[] }
  | { kind: "popular" };

export type SourceKind = Source["kind"];

/** How to recommend, as the controls of one side have it. Empty strings leave a field unset. */
export interface Settings {
  limit: string;
  diversity: number;
  relation: Relation;
  seen: "excluded" | "allowed";
  rows: FilterRow[];
  minScore: string;
  maxSimilarity: string;
  groupBy: string;
  newItemBoost: string;
  lexicalWeight: string;
  exact: boolean;
}

export const DEFAULT_SETTINGS: Settings = {
  limit: "10",
  diversity: 0,
  relation: "RELATION_SIMILAR",
  seen: "excluded",
  rows: [],
  minScore: "",
  maxSimilarity: "",
  groupBy: "",
  newItemBoost: "",
  lexicalWeight: "",
  exact: false,
};

function buildExample({ text, weight }: WeightedText): Example {
  const size = Math.abs(Number(weight));
  return size === 1 ? { text } : { text, weight: size };
}

/** Return the fields of a source; undefined as long as it is incomplete. */
function buildSource(source: Source): Partial<RecommendRequest> | undefined {
  switch (source.kind) {
    case "item":
      return source.itemId ? { itemId: source.itemId } : undefined;
    case "user":
      return source.userId ? { userId: source.userId } : undefined;
    case "popular":
      return { popular: {} };
    case "texts": {
      const texts = source.texts.filter(({ text, weight }) => text.trim() && Number(weight));
      const [first] = texts;
      if (!first) return undefined;
      if (texts.length === 1 && Number(first.weight) > 0) return { text: first.text };
      const positive = texts.filter(({ weight }) => Number(weight) > 0).map(buildExample);
      const negative = texts.filter(({ weight }) => Number(weight) < 0).map(buildExample);
      return { examples: { ...(positive.length ? { positive } : {}), ...(negative.length ? { negative } : {}) } };
    }
  }
}

function toNumber(text: string): number | undefined {
  return text.trim() === "" || Number.isNaN(Number(text)) ? undefined : Number(text);
}

/** Build the request of one side; undefined as long as the source is incomplete. */
export function buildRequest(source: Source, settings: Settings): RecommendRequest | undefined {
  const fields = buildSource(source);
  if (!fields) return undefined;
  const isText = fields.text !== undefined;
  const optional = {
    filter: buildFilter(settings.rows),
    relation: source.kind === "item" && settings.relation !== "RELATION_SIMILAR" ? settings.relation : undefined,
    excludeInteractions: source.kind === "user" && settings.seen === "allowed" ? { types: [] } : undefined,
    diversity: settings.diversity || undefined,
    minScore: toNumber(settings.minScore),
    maxSimilarity: toNumber(settings.maxSimilarity),
    groupBy: settings.groupBy.trim() ? { attribute: settings.groupBy.trim() } : undefined,
    newItemBoost: toNumber(settings.newItemBoost),
    lexicalWeight: isText ? toNumber(settings.lexicalWeight) : undefined,
    exact: settings.exact || undefined,
  };
  const set = Object.entries(optional).filter(([, value]) => value !== undefined);
  return {
    ...fields,
    limit: toNumber(settings.limit) ?? 10,
    ...Object.fromEntries(set),
    explain: true,
    view: "ITEM_VIEW_FULL",
  };
}
