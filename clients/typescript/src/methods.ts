import type { BinaryWriter } from "@bufbuild/protobuf/wire";

import type { Item } from "./generated/akin/v1/item.js";
import type { ImportItemsRequest } from "./generated/akin/v1/recommender_service.js";

/** What goes with one call. */
export interface CallOptions {
  /** The call's deadline, in place of the client's. */
  timeoutMs?: number;
  /** Ends the call, which then rejects with the signal's reason. */
  signal?: AbortSignal;
}

/** What goes with an import; it has no deadline unless it is given one. */
export interface ImportOptions extends CallOptions {
  /** The catalog, in place of the client's. */
  catalog?: string;
  /** Refuse an item rather than keep it as pending when it cannot be embedded for now. */
  requireIndexed?: boolean;
  /** Only check the items; store and embed nothing. */
  validateOnly?: boolean;
}

/** An item as a call takes it: fields may be left out. */
export type ItemInput = Parameters<typeof Item.fromPartial>[0];

/** A message of an import as a call takes it: fields may be left out. */
export type ImportInput = Parameters<typeof ImportItemsRequest.fromPartial>[0];

/** Something to go through, now or as it comes. */
export type AnyIterable<T> = Iterable<T> | AsyncIterable<T>;

/** What a client needs of a generated message type. */
export interface MessageType<Message, Input> {
  /** Writes a message. */
  encode(message: Message): BinaryWriter;
  /** Reads a message. */
  decode(input: Uint8Array): Message;
  /** Makes a message of one whose fields may be left out. */
  fromPartial(input: Input): Message;
}

/** What a client needs of a generated method. */
// The generated types take any message, so that only `any` stands for all of them.
export interface Method<Request = any, Input = any, Response = any> {
  /** The method's name in the protos. */
  readonly name: string;
  /** The type of its requests. */
  readonly requestType: MessageType<Request, Input>;
  /** Whether there are several. */
  readonly requestStream: boolean;
  /** The type of its responses. */
  readonly responseType: MessageType<Response, any>;
  /** Whether there are several. */
  readonly responseStream: boolean;
}

/** What a client needs of a generated service. */
export interface Service {
  /** The service's name in the protos, with its package. */
  readonly fullName: string;
  /** Its methods. */
  readonly methods: Readonly<Record<string, Method>>;
}

/** What a method's request may be given as. */
type Input<M extends Method> = Parameters<M["requestType"]["fromPartial"]>[0];

/** What a method's responses are. */
type Output<M extends Method> = ReturnType<M["responseType"]["decode"]>;

/** How a method with one request is called: for a promise of the response, or to go through several. */
type Call<M extends Method> = M["responseStream"] extends false
  ? (request: Input<M>, options?: CallOptions) => Promise<Output<M>>
  : (request: Input<M>, options?: CallOptions) => AsyncGenerator<Output<M>>;

/** A function for every method of a service that takes one request. */
export type Calls<S extends Service> = {
  [Name in keyof S["methods"] as S["methods"][Name]["requestStream"] extends false ? Name : never]: Call<
    S["methods"][Name]
  >;
};

/** A request's bytes. What cannot be written throws here, not as an error of the call. */
export function encode<Message, Input>(type: MessageType<Message, Input>, input: Input): Buffer {
  const bytes = type.encode(type.fromPartial(input)).finish();
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
