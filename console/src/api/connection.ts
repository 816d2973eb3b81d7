import { call } from "./http";

/** What the process that serves the console knows of the server's gRPC address. */
export interface Connection {
  address: string;
  tls: boolean;
  /** Does that process add a key to the calls of the console? */
  key: boolean;
}

// Hosts that stand for all addresses of a machine.
const ANY_HOST = /^(0\.0\.0\.0|\[::\])(?=:\d+$)/;

let connection: Promise<Connection> | undefined;

/** Load the connection once for all pages. */
export function loadConnection(): Promise<Connection> {
  connection ??= call<Connection>({ verb: "GET", path: "/connection.json" }).then(({ address, ...rest }) => ({
    address: address.replace(ANY_HOST, location.hostname),
    ...rest,
  }));
  return connection;
}
