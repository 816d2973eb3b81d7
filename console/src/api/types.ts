// The messages of akin.v1 in proto3 JSON, as far as the console reads them. A field that has its
// default is absent, and integers of 64 bits are strings.

export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };
export type Attributes = Record<string, Json>;
export type Int64 = string;

export interface Item {
  itemId: string;
  text: string;
  attributes?: Attributes;
  expireTime?: string;
  state?: "ITEM_STATE_INDEXED" | "ITEM_STATE_PENDING";
  sequence?: Int64;
  updateTime?: string;
  pendingReason?: string;
  pendingMessage?: string;
}

export interface Preference {
  text: string;
  weight?: number;
}

export interface LikedItem {
  itemId: string;
  weight?: number;
}

export interface User {
  userId: string;
  preferences?: Preference[];
  likedItems?: LikedItem[];
  sequence?: Int64;
  updateTime?: string;
}

export interface Interaction {
  interactionId?: string;
  userId: string;
  itemId: string;
  type: string;
  value?: number;
  time?: string;
}

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

export interface ItemList {
  items?: Item[];
  nextPageToken?: string;
  totalSize?: Int64;
}

export interface UserList {
  users?: User[];
  nextPageToken?: string;
  totalSize?: Int64;
}

export interface InteractionList {
  interactions?: Interaction[];
  nextPageToken?: string;
  totalSize?: Int64;
}

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
}

export interface Coverage {
  itemCount?: Int64;
  examinedItemCount?: Int64;
  sampled?: boolean;
}

export interface DuplicateGroup {
  items: { itemId: string; similarity?: number }[];
  truncated?: boolean;
}

export interface DuplicatesEvent {
  progress?: { coverage?: Coverage };
  groups?: { groups?: DuplicateGroup[]; coverage?: Coverage };
}

export interface Outlier {
  itemId: string;
  meanSimilarity?: number;
  nearestItemId?: string;
  item?: Item;
}

export interface OutlierList {
  outliers?: Outlier[];
  coverage?: Coverage;
}

export interface Cluster {
  itemCount?: Int64;
  keywords?: string[];
  representatives?: { itemId: string; similarity?: number }[];
  cohesion?: number;
  x?: number;
  y?: number;
}

export interface ClusterPoint {
  itemId: string;
  clusterIndex?: number;
  x?: number;
  y?: number;
}

export interface ClusterMap {
  clusters?: Cluster[];
  points?: ClusterPoint[];
  coverage?: Coverage;
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

/** One line of the response to an import: a refused line, or the end. */
export interface ImportEvent {
  line?: number;
  error?: { code?: number; message?: string };
  stored?: number | string;
  valid?: number | string;
  refused?: number | string;
}
