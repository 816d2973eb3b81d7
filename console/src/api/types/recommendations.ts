// The request and the response of RecommendSimilar.

import type { Item } from "./entries";
import type { Int64, Json } from "./json";

export interface Range {
  gt?: number;
  gte?: number;
  lt?: number;
  lte?: number;
}

export interface Condition {
  attribute: string;
  equals?: Json;
  oneOf?: Json[];
  containsAny?: Json[];
  range?: Range;
  exists?: boolean;
}

export interface Filter {
  all?: Condition[];
  any?: Condition[];
  none?: Condition[];
}

export interface Example {
  itemId?: string;
  text?: string;
  weight?: number;
}

export type Relation = "RELATION_SIMILAR" | "RELATION_ALSO_LIKED" | "RELATION_BOTH";

export interface RecommendRequest {
  itemId?: string;
  userId?: string;
  text?: string;
  examples?: { positive?: Example[]; negative?: Example[] };
  popular?: Record<string, never>;
  limit?: number;
  filter?: Filter;
  minScore?: number;
  diversity?: number;
  maxSimilarity?: number;
  explain?: boolean;
  view?: "ITEM_VIEW_FULL";
  exact?: boolean;
  relation?: Relation;
  excludeInteractions?: { types: string[] };
  newItemBoost?: number;
  fallback?: "FALLBACK_POPULAR";
  groupBy?: { attribute: string };
  lexicalWeight?: number;
}

export interface Explanation {
  itemId?: string;
  text?: string;
  similarity?: number;
  signal?: "SIGNAL_TEXT" | "SIGNAL_BEHAVIOR";
  matchedWords?: string[];
}

export interface Recommendation {
  itemId: string;
  score?: number;
  explanations?: Explanation[];
  item?: Item;
}

export interface Signals {
  textWeight?: number;
  behaviorWeight?: number;
  modelTime?: string;
}

export interface Usage {
  textCount?: number;
  cachedTextCount?: number;
  promptTokenCount?: Int64;
  costUsd?: number;
}

export interface RecommendResponse {
  recommendations?: Recommendation[];
  missingItemIds?: string[];
  sequence?: Int64;
  usage?: Usage;
  recommendationId?: string;
  signals?: Signals;
}
