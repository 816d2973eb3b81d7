import type { ComponentChildren } from "preact";

import type { Catalog } from "../api/types";
import { PAGES, type Page, type Route, buildLink } from "../router";
import { formatCompact } from "../format";
import { Icon, Mark } from "./icon";

const TITLES: Record<Page, string> = {
  overview: "Overview",
  explore: "Explore",
  items: "Items",
  users: "Users",
  map: "Map",
  upkeep: "Upkeep",
};

interface LayoutProps {
  route: Route;
  catalogs: Catalog[];
  canSignOut: boolean;
  onSignOut: () => void;
  children: ComponentChildren;
}

export function Layout({ route, catalogs, canSignOut, onSignOut, children }: LayoutProps) {
  return (
    <div class="layout">
      <a class="skip" href="#content" onClick={(event) => focusContent(event)}>
        Skip to the content
      </a>
      <header class="top">
        <a class="brand" href={buildLink(route.catalog, "overview")}>
          <Mark />
          <span>Akin</span>
        </a>
        <CatalogChooser route={route} catalogs={catalogs} />
        {canSignOut && (
          <button class="button button-plain button-small" onClick={onSignOut}>
            Sign out
          </button>
        )}
      </header>
      <nav class="nav" aria-label="Pages">
        <ul>
          {PAGES.map((page) => (
            <li key={page}>
              <a href={buildLink(route.catalog, page)} aria-current={page === route.page ? "page" : undefined}>
                <Icon name={page} />
                <span>{TITLES[page]}</span>
              </a>
            </li>
          ))}
        </ul>
      </nav>
      <main id="content" tabIndex={-1}>
        {children}
      </main>
    </div>
  );
}

function focusContent(event: Event): void {
  // The fragment of the address is the route, so the link must not change it.
  event.preventDefault();
  document.getElementById("content")?.focus();
}

function CatalogChooser({ route, catalogs }: { route: Route; catalogs: Catalog[] }) {
  const names = catalogs.map((catalog) => catalog.name);
  const choices = names.includes(route.catalog) ? names : [route.catalog, ...names];
  const counts = new Map(catalogs.map((catalog) => [catalog.name, formatCompact(catalog.itemCount)]));
  return (
    <label class="catalog">
      <span class="catalog-label">Catalog</span>
      <select
        value={route.catalog}
        onChange={(event) => {
          location.hash = buildLink(event.currentTarget.value, route.page);
        }}
      >
        {choices.map((name) => (
          <option key={name} value={name}>
            {counts.has(name) ? `${name} (${counts.get(name)})` : name}
          </option>
        ))}
      </select>
    </label>
  );
}

export function PageHead({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="page-head">
      <h1>{title}</h1>
      {children && <div class="page-head-side">{children}</div>}
    </div>
  );
}
