// What analyses of a catalog return.

import type { Item } from "./entries";
import type { Int64 } from "./json";

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
