export function Upkeep() { return <p>Upkeep</p>; }
