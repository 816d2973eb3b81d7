import { useEffect, useMemo, useState } from "preact/hooks";

import { ApiError, NOT_FOUND, PERMISSION_DENIED, UNAUTHENTICATED } from "./api/errors";
import { listenForSignOut } from "./api/http";
import { CatalogApi, type Scopes, listCatalogs } from "./api/methods";
import { forgetKey, readKey, storeKey } from "./api/session";
import type { Catalog } from "./api/types";
import { Explore } from "./pages/explore/explore";
import { Items } from "./pages/items/items";
import { MapPage } from "./pages/map/map_page";
import { Overview } from "./pages/overview/overview";
import { SignIn } from "./pages/sign_in";
import { Upkeep } from "./pages/upkeep/upkeep";
import { Users } from "./pages/users/users";
import { Layout, PageHead } from "./parts/layout";
import { Busy, ErrorNotice } from "./parts/notice";
import { type Page, buildLink, useRoute } from "./router";
import { SessionContext, useLoaded, useScrollUp } from "./state";

const NO_SCOPES: Scopes = { write: false, admin: false };

const PAGE_COMPONENTS: Record<Page, () => preact.JSX.Element> = {
  overview: Overview,
  explore: Explore,
  items: Items,
  users: Users,
  map: MapPage,
  upkeep: Upkeep,
};

interface Opening {
  catalogs: Catalog[];
  /** Is there a catalog of the name in the address? */
  exists: boolean;
  scopes: Scopes;
}

/** List the catalogs that the key may see, and find out what it may do in this one, if that is not known. */
async function open(api: CatalogApi, signal: AbortSignal, known?: Scopes): Promise<Opening> {
  const catalogs = await listVisible(api, signal);
  const exists = catalogs.some(({ name }) => name === api.name);
  return { catalogs, exists, scopes: known ?? (exists ? await api.readScopes() : NO_SCOPES) };
}

async function listVisible(api: CatalogApi, signal: AbortSignal): Promise<Catalog[]> {
  try {
    return await listCatalogs(signal);
  } catch (error) {
    if (!(error instanceof ApiError && error.code === PERMISSION_DENIED)) throw error;
  }
  try {
    return [await api.get(signal)];
  } catch (error) {
    if (error instanceof ApiError && error.code === NOT_FOUND) return [];
    throw error;
  }
}

export function App() {
  const route = useRoute();
  const [key, setKey] = useState(readKey);
  const [isSignedOut, setSignedOut] = useState(false);
  const api = useMemo(() => new CatalogApi(route.catalog), [route.catalog]);
  const opening = useLoaded((signal) => open(api, signal), [api, key]);
  const signOut = () => {
    forgetKey();
    setSignedOut(true);
  };
  useEffect(() => listenForSignOut(signOut), []);
  useEffect(() => {
    document.title = `${route.page[0]?.toUpperCase()}${route.page.slice(1)} · ${route.catalog} · Akin console`;
  }, [route.page, route.catalog]);

  useScrollUp(`${route.catalog}/${route.page}`);

  const refusal = opening.error instanceof ApiError ? opening.error.code : undefined;
  if (isSignedOut || refusal === UNAUTHENTICATED || refusal === PERMISSION_DENIED) {
    // Who needs no key of their own, and is refused, uses the key of the command `akin console`.
    const isLent = refusal === PERMISSION_DENIED && !key;
    return (
      <SignIn
        error={key || isLent ? opening.error : undefined}
        catalog={route.catalog}
        needsKey={!isLent}
        onSignIn={(newKey, catalog) => {
          if (newKey) storeKey(newKey);
          if (catalog !== route.catalog) location.hash = buildLink(catalog, route.page);
          setSignedOut(false);
          setKey(newKey);
          if (newKey === key && catalog === route.catalog) {
            opening.set(undefined);
            opening.reload();
          }
        }}
      />
    );
  }

  const { catalogs = [], exists = true, scopes = NO_SCOPES } = opening.value ?? {};
  const reload = () => void opening.run((signal) => open(api, signal, opening.value?.scopes));
  const session = { api, scopes, reload };
  const PageComponent = PAGE_COMPONENTS[route.page];
  return (
    <SessionContext.Provider value={session}>
      <Layout
        route={route}
        catalogs={catalogs}
        canSignOut={key !== ""}
        onSignOut={() => {
          signOut();
          setKey("");
        }}
      >
        <ErrorNotice error={opening.error} onRetry={opening.reload} />
        {!exists && <MissingCatalog name={route.catalog} onRetry={opening.reload} />}
        {!opening.value && !opening.error && <Busy />}
        {opening.value && exists && <PageComponent key={`${route.catalog}/${route.page}`} />}
      </Layout>
    </SessionContext.Provider>
  );
}

function MissingCatalog({ name, onRetry }: { name: string; onRetry: () => void }) {
  return (
    <>
      <PageHead title="No such catalog" />
      <ErrorNotice error={new Error(`There is no catalog ${name}. Choose one at the top.`)} onRetry={onRetry} />
    </>
  );
}
