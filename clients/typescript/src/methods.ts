import type { BinaryWriter } from "@bufbuild/protobuf/wire";

import type { CallInfo } from "./call_info.js";
import type { Interaction } from "./generated/akin/v1/interaction.js";
import type { ImportInteractionsRequest } from "./generated/akin/v1/interaction_service.js";
import type { Item } from "./generated/akin/v1/item.js";
import type { ImportItemsRequest, ImportUsersRequest } from "./generated/akin/v1/recommender_service.js";
import type { User } from "./generated/akin/v1/user.js";
import { checkNumbers } from "./numbers.js";

/** Options of one call. */
export interface CallOptions {
  /** The deadline of the call, in milliseconds. Default: that of the client. */
  timeoutMs?: number;
  /** Cancels the call, which then rejects with the reason of the signal. */
  signal?: AbortSignal;
  /** Sends the request id of this object, and sets the object when the call ends. */
  callInfo?: CallInfo;
}

/** Options of an import of users. An import has no deadline by default. */
export interface ImportUsersOptions extends CallOptions {
  /** The name of the catalog. Default: that of the client. */
  catalog?: string;
  /** If true, the import only validates. It embeds and stores nothing. Default: false. */
  validateOnly?: boolean;
}

/** Options of an import of items. An import has no deadline by default. */
export interface ImportItemsOptions extends ImportUsersOptions {
  /**
   * If true, items whose text cannot be embedded now are not stored. Default: false, they are stored
   * as pending.
   */
  requireIndexed?: boolean;
}

/** Options of an import of interactions. An import has no deadline by default. */
export interface ImportInteractionsOptions extends CallOptions {
  /** The name of the catalog. Default: that of the client. */
  catalog?: string;
  /** If true, the import only validates. It records nothing. Default: false. */
  validateOnly?: boolean;
}

/** An item in a request, which may omit fields. */
export type ItemInput = Parameters<typeof Item.fromPartial>[0];

/** A user in a request, which may omit fields. */
export type UserInput = Parameters<typeof User.fromPartial>[0];

/** An interaction in a request, which may omit fields. */
export type InteractionInput = Parameters<typeof Interaction.fromPartial>[0];

/** A message of an import of items, which may omit fields. */
export type ImportItemsInput = Parameters<typeof ImportItemsRequest.fromPartial>[0];

/** A message of an import of users, which may omit fields. */
export type ImportUsersInput = Parameters<typeof ImportUsersRequest.fromPartial>[0];

/** A message of an import of interactions, which may omit fields. */
export type ImportInteractionsInput = Parameters<typeof ImportInteractionsRequest.fromPartial>[0];

/** A sequence of values, synchronous or asynchronous. */
export type AnyIterable<T> = Iterable<T> | AsyncIterable<T>;

/** The parts of a generated message type that the client uses. */
export interface MessageType<Message, Input> {
  /** Encodes a message. */
  encode(message: Message): BinaryWriter;
  /** Decodes a message. */
  decode(input: Uint8Array): Message;
  /** Returns a whole message for one that may omit fields. */
  fromPartial(input: Input): Message;
}

/** The parts of a generated method that the client uses. */
// The generated types are invariant in their messages, so that only `any` stands for all of them.
export interface Method<Request = any, Input = any, Response = any> {
  /** The name of the method in the protos. */
  readonly name: string;
  /** The type of its requests. */
  readonly requestType: MessageType<Request, Input>;
  /** True if it takes a stream of requests. */
  readonly requestStream: boolean;
  /** The type of its responses. */
  readonly responseType: MessageType<Response, any>;
  /** True if it returns a stream of responses. */
  readonly responseStream: boolean;
}

/** The parts of a generated service that the client uses. */
export interface Service {
  /** The name of the service in the protos, with its package. */
  readonly fullName: string;
  /** Its methods, by their names in TypeScript. */
  readonly methods: Readonly<Record<string, Method>>;
}

/** The request of a method, which may omit fields. */
type Input<M extends Method> = Parameters<M["requestType"]["fromPartial"]>[0];

/** The response of a method. */
type Output<M extends Method> = ReturnType<M["responseType"]["decode"]>;

/** The function that calls a method with one request. */
type Call<M extends Method> = M["responseStream"] extends false
  ? (request: Input<M>, options?: CallOptions) => Promise<Output<M>>
  : (request: Input<M>, options?: CallOptions) => AsyncGenerator<Output<M>>;

/** A function for each method of a service that takes one request. */
export type Calls<S extends Service> = {
  [Name in keyof S["methods"] as S["methods"][Name]["requestStream"] extends false ? Name : never]: Call<
    S["methods"][Name]
  >;
};

/**
 * Encodes a request. Throws if a value cannot be encoded unchanged; encoding inside of gRPC would hide that error
 * behind the error of the call.
 */
export function encode<Message, Input>(type: MessageType<Message, Input>, input: Input): Buffer {
  checkNumbers(input, "");
  const bytes = type.encode(type.fromPartial(input)).finish();
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
