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
import { Layout } from "./parts/layout";
import { Busy, ErrorNotice } from "./parts/notice";
import { type Page, buildLink, useRoute } from "./router";
import { SessionContext, useLoaded } from "./state";

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
  scopes: Scopes;
}

/** List the catalogs that the key may see, and find out what it may do in this one. */
async function open(api: CatalogApi, signal: AbortSignal): Promise<Opening> {
  let catalogs: Catalog[];
  try {
    catalogs = await listCatalogs(signal);
  } catch (error) {
    if (!(error instanceof ApiError && error.code === PERMISSION_DENIED)) throw error;
    catalogs = [await api.get(signal)];
  }
  return { catalogs, scopes: await api.readScopes(readKey() !== "") };
}

export function App() {
  const route = useRoute();
  const [key, setKey] = useState(readKey);
  const [isSignedOut, setSignedOut] = useState(false);
  const api = useMemo(() => new CatalogApi(route.catalog), [route.catalog]);
  const opening = useLoaded((signal) => open(api, signal), [api, key]);
  useEffect(() => listenForSignOut(() => setSignedOut(true)), []);
  useEffect(() => {
    document.title = `${route.page[0]?.toUpperCase()}${route.page.slice(1)} · ${route.catalog} · Akin console`;
  }, [route.page, route.catalog]);

  const refusal = opening.error instanceof ApiError ? opening.error.code : undefined;
  if (isSignedOut || refusal === UNAUTHENTICATED || (refusal === PERMISSION_DENIED && !opening.value)) {
    return (
      <SignIn
        error={key ? opening.error : undefined}
        catalog={route.catalog}
        onSignIn={(newKey, catalog) => {
          storeKey(newKey);
          if (catalog !== route.catalog) location.hash = buildLink(catalog, route.page);
          setSignedOut(false);
          setKey(newKey);
          if (newKey === key) opening.reload();
        }}
      />
    );
  }

  const session = { api, scopes: opening.value?.scopes ?? NO_SCOPES };
  const PageComponent = PAGE_COMPONENTS[route.page];
  return (
    <SessionContext.Provider value={session}>
      <Layout
        route={route}
        catalogs={opening.value?.catalogs ?? []}
        canSignOut={key !== ""}
        onSignOut={() => {
          forgetKey();
          setKey("");
          setSignedOut(true);
        }}
      >
        {opening.error && refusal !== NOT_FOUND ? <ErrorNotice error={opening.error} onRetry={opening.reload} /> : null}
        {opening.value ? <PageComponent key={`${route.catalog}/${route.page}`} /> : !opening.error && <Busy />}
      </Layout>
    </SessionContext.Provider>
  );
}
