// The messages of akin.v1 in proto3 JSON, as far as the console reads them. A field that has its
// default is absent, and integers of 64 bits are strings.

export type * from "./types/analyses";
export type * from "./types/catalogs";
export type * from "./types/entries";
export type * from "./types/json";
export type * from "./types/recommendations";
