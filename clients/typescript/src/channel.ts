import * as net from "node:net";

import { credentials, type ChannelCredentials, type ChannelOptions } from "@grpc/grpc-js";

import { serviceConfig } from "./generated/service_config.js";

/** TLS settings, in PEM. */
export interface Tls {
  /** The CA bundle for verifying the server. Default: the certificate authorities that Node.js trusts. */
  ca?: Buffer;
  /** The certificate chain of the client, for mTLS. Default: the client sends no certificate. */
  cert?: Buffer;
  /** The private key of `cert`. */
  key?: Buffer;
}

/** Options of a client. */
export interface ClientOptions {
  /** The API key to send with every call. It requires `tls`, unless the address is a loopback address. */
  apiKey?: string;
  /** Enables TLS. `true` trusts the certificate authorities that Node.js trusts. Default: false. */
  tls?: Tls | boolean;
  /**
   * The catalog of requests that name none. `createCatalog` and `deleteCatalog` do not use it. `client.catalog(name)`
   * returns a client of another one.
   * Default: the catalog `default`.
   */
  catalog?: string;
  /**
   * The default deadline of a call in milliseconds, including retries. Infinity means no deadline.
   * Default: 10,000. It does not apply to imports, which have no deadline, or to `findDuplicates`,
   * `findOutliers` and `clusterItems`, whose default deadline is 600,000.
   */
  timeoutMs?: number;
  /**
   * The idle timeout of streams in milliseconds. A stream fails with UNAVAILABLE if the server sends no
   * message for this time, and does not answer a health check in the second half of it. Infinity means no
   * idle timeout. Default: 20,000.
   */
  idleTimeoutMs?: number;
  /** Options to pass to gRPC. They override those that the client sets. */
  channelOptions?: ChannelOptions;
}

/** Larger than the server's limit of 16 MiB, so that the server's error reaches the caller. */
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

/** gRPC lengthens a pause by up to 20%, so the client connects within 5 s after the server is back. */
const MAX_RECONNECT_PAUSE_MS = 4_000;

/**
 * While a call runs and the server sends nothing, the client pings the server after the first time, and
 * closes the connection if the second time passes without a response. Servers accept a ping every 10 s.
 */
export const KEEPALIVE_MS = 10_000;
const KEEPALIVE_TIMEOUT_MS = 15_000;

const LOCAL_SCHEMES = ["unix:", "unix-abstract:"];

/** Returns the credentials of a channel. Throws if it would send an API key without TLS. */
export function channelCredentials(address: string, options: ClientOptions): ChannelCredentials {
  const { apiKey, tls } = options;
  if (!tls) {
    if (apiKey && !isLoopback(address)) {
      throw new Error("apiKey requires tls, unless the address is a loopback address");
    }
    return credentials.createInsecure();
  }
  const { ca, cert, key } = tls === true ? ({} as Tls) : tls;
  return credentials.createSsl(ca ?? null, key ?? null, cert ?? null);
}

/** Returns the options of a channel. */
export function channelOptions(address: string, options: ClientOptions): ChannelOptions {
  const defaults: ChannelOptions = {
    "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
    "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
    // Five attempts outlast a restart of the server within the default deadline. Streams are not
    // retried, because gRPC would buffer their messages. Calls are spread over all addresses of the
    // server's name, and so is a retry.
    "grpc.service_config": JSON.stringify(serviceConfig),
    // Otherwise a DNS TXT record of the server could replace the service config.
    "grpc.service_config_disable_resolution": 1,
    "grpc.max_reconnect_backoff_ms": MAX_RECONNECT_PAUSE_MS,
    "grpc.keepalive_time_ms": KEEPALIVE_MS,
    "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
    // Otherwise all clients of a process share one connection and its pause after a failure.
    "grpc.use_local_subchannel_pool": 1,
  };
  if (isLoopback(address)) {
    // The proxies of the environment are for other machines.
    defaults["grpc.enable_http_proxy"] = 0;
  }
  return { ...defaults, ...options.channelOptions };
}

/**
 * Returns true if traffic to an address stays on this machine, and false for an address in a form that
 * it does not know.
 */
export function isLoopback(address: string): boolean {
  if (LOCAL_SCHEMES.some((scheme) => address.startsWith(scheme))) {
    return true;
  }
  const rest = address.replace(/^dns:(\/\/\/)?/, "");
  const host = /^\[(.*)\](:\d+)?$/.exec(rest)?.[1] ?? (net.isIPv6(rest) ? rest : rest.replace(/:\d+$/, ""));
  return host.toLowerCase() === "localhost" || host === "::1" || (net.isIPv4(host) && host.startsWith("127."));
}
