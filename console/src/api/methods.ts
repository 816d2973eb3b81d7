import { INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED, ApiError, type Status, toError } from "./errors";
import { type Answer, type Request, call, callLines, callTimed, segment } from "./http";
import type * as t from "./types";

type Signal = AbortSignal | undefined;

/** The calls of one catalog. Paths and verbs are those of protos/akin/v1/http.yaml. */
export class CatalogApi {
  private readonly root: string;

  constructor(readonly name: string) {
    this.root = `/v1/catalogs/${segment(name)}`;
  }

  async get(signal?: Signal): Promise<t.Catalog> {
    return (await call<{ catalog: t.Catalog }>({ verb: "GET", path: this.root, signal })).catalog;
  }

  async update(settings: t.CatalogSettings, updateMask: string): Promise<t.Catalog> {
    const request: Request = { verb: "PATCH", path: this.root, query: { updateMask }, body: settings };
    return (await call<{ catalog: t.Catalog }>(request)).catalog;
  }

  buildRecommendRequest(body: t.RecommendRequest): Request & { body: t.RecommendRequest } {
    return { verb: "POST", path: `${this.root}/items:recommend`, body };
  }

  recommend(body: t.RecommendRequest, signal?: Signal): Promise<Answer<t.RecommendResponse>> {
    return callTimed({ ...this.buildRecommendRequest(body), signal });
  }

  listItems(
    page: { pageSize?: number; pageToken?: string; filter?: t.Filter | undefined },
    signal?: Signal,
  ): Promise<t.ItemList> {
    return call({ verb: "POST", path: `${this.root}/items:list`, body: page, signal });
  }

  async getItem(id: string, signal?: Signal): Promise<t.Item> {
    if (isPathStep(id)) {
      const [item] = await this.batchGetItems([id], signal);
      if (!item) throw new ApiError(NOT_FOUND, `The item ${id} does not exist.`);
      return item;
    }
    return (await call<{ item: t.Item }>({ verb: "GET", path: this.itemPath(id), signal })).item;
  }

  async batchGetItems(itemIds: string[], signal?: Signal): Promise<t.Item[]> {
    const request: Request = { verb: "POST", path: `${this.root}/items:batchGet`, body: { itemIds }, signal };
    return (await call<{ items?: t.Item[] }>(request)).items ?? [];
  }

  async createItem(item: t.Item): Promise<t.Item> {
    const query = { expectedSequence: 0 };
    return (await call<{ item: t.Item }>({ verb: "PUT", path: this.itemPath(item.itemId), query, body: item })).item;
  }

  /** Change the fields of the mask, unless another call has changed the item since it was read. */
  async updateItem(item: t.Item, updateMask: string): Promise<t.Item> {
    const { itemId, text, attributes, expireTime, sequence } = item;
    const body = { itemId, text, attributes: attributes ?? {}, ...(expireTime ? { expireTime } : {}) };
    const query = { updateMask, expectedSequence: sequence };
    return (await call<{ item: t.Item }>({ verb: "PATCH", path: this.itemPath(itemId), query, body })).item;
  }

  async deleteItem(id: string): Promise<void> {
    if (isPathStep(id)) await this.batchDelete({ ids: { itemIds: [id] } });
    else await call({ verb: "DELETE", path: this.itemPath(id) });
  }

  async batchDelete(
    selector: { ids: { itemIds: string[] } } | { filter: t.Filter },
    validateOnly = false,
  ): Promise<number> {
    const body = { ...selector, validateOnly };
    const request: Request = { verb: "POST", path: `${this.root}/items:batchDelete`, body };
    return Number((await call<{ deletedCount?: t.Int64 }>(request)).deletedCount ?? 0);
  }

  listUsers(page: { pageSize?: number; pageToken?: string }, signal?: Signal): Promise<t.UserList> {
    return call({ verb: "GET", path: `${this.root}/users`, query: page, signal });
  }

  async getUser(id: string, signal?: Signal): Promise<t.User> {
    return (await call<{ user: t.User }>({ verb: "GET", path: this.userPath(id), signal })).user;
  }

  /** Store a user, unless another call has changed the user since it was read. */
  async storeUser(user: t.User): Promise<t.User> {
    const query = { expectedSequence: user.sequence ?? "0" };
    return (await call<{ user: t.User }>({ verb: "PUT", path: this.userPath(user.userId), query, body: user })).user;
  }

  async deleteUser(id: string): Promise<void> {
    await call({ verb: "DELETE", path: this.userPath(id) });
  }

  listInteractions(userId: string, signal?: Signal): Promise<t.InteractionList> {
    const query = { userId, pageSize: 50 };
    return call({ verb: "GET", path: `${this.root}/interactions`, query, signal });
  }

  importLines(kind: "items" | "users" | "interactions", lines: string, validateOnly: boolean, signal?: Signal) {
    const query = validateOnly ? { validateOnly } : {};
    return callLines<t.ImportEvent>({ verb: "POST", path: `${this.root}/${kind}:import`, query, lines, signal });
  }

  async *findDuplicates(body: { minSimilarity: number; filter?: t.Filter }, signal?: Signal) {
    const request: Request = { verb: "POST", path: `${this.root}/items:findDuplicates`, body, signal };
    for await (const line of callLines<t.DuplicatesEvent & { error?: Status }>(request)) {
      if (line.error) throw toError(line.error, "The search for near-duplicates failed.");
      yield line;
    }
  }

  findOutliers(body: { limit: number; filter?: t.Filter }, signal?: Signal): Promise<t.OutlierList> {
    const view = "ITEM_VIEW_FULL";
    return call({ verb: "POST", path: `${this.root}/items:findOutliers`, body: { ...body, view }, signal });
  }

  clusterItems(
    body: { clusterCount?: number; pointLimit: number; filter?: t.Filter; representativeLimit: number },
    signal?: Signal,
  ): Promise<t.ClusterMap> {
    return call({ verb: "POST", path: `${this.root}/items:cluster`, body, signal });
  }

  estimateReembedding(embedding: t.EmbeddingModel): Promise<t.Estimate> {
    return call({ verb: "POST", path: `${this.root}/reembedding:estimate`, body: { embedding } });
  }

  async startReembedding(embedding: t.EmbeddingModel): Promise<t.Reembedding> {
    const request: Request = { verb: "POST", path: `${this.root}/reembedding`, body: { embedding } };
    return (await call<{ reembedding: t.Reembedding }>(request)).reembedding;
  }

  async getReembedding(signal?: Signal): Promise<t.Reembedding> {
    const request: Request = { verb: "GET", path: `${this.root}/reembedding`, signal };
    return (await call<{ reembedding: t.Reembedding }>(request)).reembedding;
  }

  async endReembedding(how: "cancel" | "commit" | "rollback"): Promise<void> {
    await call({ verb: "POST", path: `${this.root}/reembedding:${how}`, body: {} });
  }

  /** Find out what the key may do, with calls that change nothing. */
  async readScopes(): Promise<Scopes> {
    const [write, admin] = await Promise.all([
      isPermitted(this.batchDelete({ ids: { itemIds: [] } }, true)),
      // A call without a mask is invalid, which the server says only to a key that may make it.
      isPermitted(this.update({}, "")),
    ]);
    return { write, admin };
  }

  private itemPath(id: string): string {
    return `${this.root}/items/${checkedSegment(id)}`;
  }

  private userPath(id: string): string {
    return `${this.root}/users/${checkedSegment(id)}`;
  }
}

/** Is an id a step of a path, which browsers leave out of an address even if it is percent-encoded? */
function isPathStep(id: string): boolean {
  return id === "." || id === "..";
}

function checkedSegment(id: string): string {
  if (!isPathStep(id)) return segment(id);
  const reason = "because it has a meaning in addresses";
  throw new ApiError(INVALID_ARGUMENT, `Browsers cannot send the id “${id}”, ${reason}. Use a client over gRPC.`);
}

export interface Scopes {
  write: boolean;
  admin: boolean;
}

export async function listCatalogs(signal?: Signal): Promise<t.Catalog[]> {
  return (await call<{ catalogs?: t.Catalog[] }>({ verb: "GET", path: "/v1/catalogs", signal })).catalogs ?? [];
}

async function isPermitted(outcome: Promise<unknown>): Promise<boolean> {
  try {
    await outcome;
    return true;
  } catch (error) {
    return !(error instanceof ApiError && error.code === PERMISSION_DENIED);
  }
}
