import * as net from "node:net";

import { credentials, type ChannelCredentials, type ChannelOptions } from "@grpc/grpc-js";

import { serviceConfig } from "./generated/service_config.js";

/** How to speak TLS; all in PEM. */
export interface Tls {
  /** Whose servers to trust; absent for the authorities that Node trusts. */
  ca?: Buffer;
  /** The client's own certificate, with its chain, where the server wants one. */
  cert?: Buffer;
  /** The certificate's key. */
  key?: Buffer;
}

/** How a client connects, and what it does with every call. */
export interface ClientOptions {
  /** Sent with every call. Without TLS it is refused, but for an address of this machine. */
  apiKey?: string;
  /** Whether and how to speak TLS; true means with the authorities that Node trusts. */
  tls?: Tls | boolean;
  /**
   * The catalog of requests that name none, but for `createCatalog` and `deleteCatalog`; absent or
   * empty means the server's default one.
   */
  catalog?: string;
  /**
   * The deadline of a unary call, retries included; 10,000 by default, Infinity for none. That of
   * `findDuplicates`, `findOutliers` and `clusterItems` is 600,000 always, if the call has none itself.
   */
  timeoutMs?: number;
  /** Passed on to gRPC; they win over what the client sets. */
  channelOptions?: ChannelOptions;
}

const MESSAGE_BYTES = 64 * 1024 * 1024;

const LOCAL_SCHEMES = ["unix:", "unix-abstract:"];

/** The credentials of a channel. Throws if they would carry an API key in the open. */
export function channelCredentials(address: string, options: ClientOptions): ChannelCredentials {
  const { apiKey, tls } = options;
  if (!tls) {
    if (apiKey && !isLoopback(address)) {
      throw new Error("an apiKey needs tls, except to an address of this machine");
    }
    return credentials.createInsecure();
  }
  const { ca, cert, key } = tls === true ? ({} as Tls) : tls;
  return credentials.createSsl(ca ?? null, key ?? null, cert ?? null);
}

/** The options of a channel. */
export function channelOptions(options: ClientOptions): ChannelOptions {
  const made: ChannelOptions = {
    "grpc.max_receive_message_length": MESSAGE_BYTES,
    "grpc.max_send_message_length": MESSAGE_BYTES,
    // Five attempts outlast a server's restart within the default deadline. Streams are left out:
    // gRPC would keep their messages for a repeat.
    "grpc.service_config": JSON.stringify(serviceConfig),
    // Otherwise a TXT record of the server's name could replace it.
    "grpc.service_config_disable_resolution": 1,
  };
  if (options.apiKey && !options.tls) {
    // What is meant for this machine must not leave it by a proxy that the environment names.
    made["grpc.enable_http_proxy"] = 0;
  }
  return { ...made, ...options.channelOptions };
}

/**
 * Whether what goes to the address surely stays on this machine; an address in a form that it does
 * not know does not.
 */
export function isLoopback(address: string): boolean {
  if (LOCAL_SCHEMES.some((scheme) => address.startsWith(scheme))) {
    return true;
  }
  const rest = address.replace(/^dns:(\/\/\/)?/, "");
  const host = /^\[(.*)\](:\d+)?$/.exec(rest)?.[1] ?? (net.isIPv6(rest) ? rest : rest.replace(/:\d+$/, ""));
  return host === "localhost" || host === "::1" || (net.isIPv4(host) && host.startsWith("127."));
}
