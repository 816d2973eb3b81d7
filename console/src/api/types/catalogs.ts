// Catalogs, their statistics, and re-embedding.

import type { Int64 } from "./json";

export interface Space {
  provider?: string;
  model?: string;
  dimensions?: number;
  template?: string;
  queryTemplate?: string;
}

export interface IndexStats {
  vectorCount?: Int64;
  graphVectorCount?: Int64;
  deletedVectorCount?: Int64;
  neighborListCount?: Int64;
  building?: boolean;
  memoryBytes?: Int64;
}

export interface PendingGroup {
  reason: string;
  message?: string;
  itemCount?: Int64;
  oldestUpdateTime?: string;
}

export interface DailyUsage {
  day: string;
  promptTokenCount?: Int64;
  costUsd?: number;
}

export interface BehaviorModel {
  trainTime?: string;
  likeCount?: Int64;
  itemCount?: Int64;
  testUserCount?: number;
  textNdcg?: number;
  ndcgGain?: number;
  ndcgGainLowerBound?: number;
  textWeight?: number;
  behaviorWeight?: number;
}

export interface ClickThrough {
  source: string;
  signals: string;
  responseCount?: Int64;
  clickedResponseCount?: Int64;
}

export interface CatalogSettings {
  signals?: string;
  interactionWeights?: Record<string, number>;
  newItemBoost?: number;
  ranking?: string;
  prior?: { attribute?: string; weight?: number };
}

export interface Catalog {
  name: string;
  itemCount?: Int64;
  userCount?: Int64;
  interactionCount?: Int64;
  sequence?: Int64;
  space?: Space;
  vectorStorage?: string;
  textFormat?: string;
  pendingItems?: PendingGroup[];
  dailyUsage?: DailyUsage[];
  embeddingErrorReason?: string;
  embeddingErrorMessage?: string;
  index?: IndexStats;
  unknownTextRatio?: number;
  settings?: CatalogSettings;
  behaviorModel?: BehaviorModel;
  clickThrough?: ClickThrough[];
  indexKind?: string;
  nextIndexKind?: string;
  indexProgress?: number;
}

export interface EmbeddingModel {
  provider?: string;
  model?: string;
  dimensions?: number;
  template?: string;
  queryTemplate?: string;
}

export interface Estimate {
  space?: Space;
  textCount?: Int64;
  cachedTextCount?: Int64;
  promptTokenCount?: Int64;
  costUsd?: number;
  duration?: string;
  sampled?: boolean;
}

export interface Reembedding {
  state?: string;
  fromSpace?: Space;
  toSpace?: Space;
  itemCount?: Int64;
  embeddedItemCount?: Int64;
  rejectedItemCount?: Int64;
  promptTokenCount?: Int64;
  costUsd?: number;
  errorReason?: string;
  errorMessage?: string;
  startTime?: string;
}
