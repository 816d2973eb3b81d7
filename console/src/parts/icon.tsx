const PATHS = {
  overview: "M4 13h6V4H4zm0 7h6v-5H4zm8 0h8v-9h-8zm0-16v5h8V4z",
  explore: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zm3.8 5.2-2.2 5.4-5.4 2.2 2.2-5.4z",
  items: "M4 5h16v4H4zm0 6h16v4H4zm0 6h10v3H4z",
  users: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zm-8 8c0-3.3 3.6-5.5 8-5.5s8 2.2 8 5.5z",
  map: "M6 8a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zm11 3a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM9 21a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9zm10-2a2 2 0 1 0 0-4 2 2 0 0 0 0 4z",
  upkeep: "M14.5 3.5a5 5 0 0 0-4.7 6.8L3.5 16.6l3.9 3.9 6.3-6.3a5 5 0 0 0 6.4-6.2l-3 3-3-.9-.9-3 3-3a5 5 0 0 0-1.7-.6z",
  close: "M6.4 5 12 10.6 17.6 5 19 6.4 13.4 12l5.6 5.6-1.4 1.4L12 13.4 6.4 19 5 17.6l5.6-5.6L5 6.4z",
};

export function Icon({ name }: { name: keyof typeof PATHS }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} fill="currentColor" />
    </svg>
  );
}

export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <circle cx="12.5" cy="16" r="8" fill="none" stroke="currentColor" stroke-width="3" />
      <circle class="mark-second" cx="19.5" cy="16" r="8" fill="none" stroke="currentColor" stroke-width="3" />
    </svg>
  );
}
