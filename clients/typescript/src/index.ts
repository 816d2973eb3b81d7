/** The Node.js client of Akin, a recommendation service. */

export { Client } from "./client.js";
export type { CallInfo } from "./call_info.js";
export type { ClientOptions, Tls } from "./channel.js";
export { AkinError, type CodeName, type Violation } from "./errors.js";
export * as filters from "./filters.js";
export type {
  AnyIterable,
  CallOptions,
  ImportInteractionsInput,
  ImportInteractionsOptions,
  ImportItemsInput,
  ImportItemsOptions,
  ImportUsersInput,
  ImportUsersOptions,
  InteractionInput,
  ItemInput,
  UserInput,
} from "./methods.js";

export * from "./generated/akin/v1/analysis_service.js";
export * from "./generated/akin/v1/catalog_service.js";
export * from "./generated/akin/v1/embedding_usage.js";
export * from "./generated/akin/v1/filter.js";
export * from "./generated/akin/v1/interaction.js";
export * from "./generated/akin/v1/interaction_service.js";
export * from "./generated/akin/v1/item.js";
export * from "./generated/akin/v1/recommender_service.js";
export * from "./generated/akin/v1/user.js";
