// Items, users and interactions, and the answers that list and import them.

import type { Attributes, Int64 } from "./json";

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

/** One line of the response to an import: a refused line, or the end. */
export interface ImportEvent {
  line?: number;
  error?: { code?: number; message?: string };
  stored?: number | string;
  valid?: number | string;
  duplicates?: number | string;
  refused?: number | string;
}
