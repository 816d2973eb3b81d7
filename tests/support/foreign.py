"""Texts that are no films: recipes, source code and technical data, by item id."""

from __future__ import annotations

FOREIGN = {
    "foreign:pancakes": (
        "Whisk 250 g flour, 2 eggs, 500 ml milk and a pinch of salt. Rest the batter for 20 "
        "minutes, fry thin pancakes in butter and dust them with sugar and cinnamon."
    ),
    "foreign:bread": (
        "Knead 500 g flour, 10 g salt, 7 g dry yeast and 320 ml lukewarm water to a smooth "
        "dough. Let it rise for 60 minutes, shape a loaf and bake it at 230 degrees Celsius "
        "for 40 minutes."
    ),
    "foreign:soup": (
        "Sweat 2 chopped onions, 3 carrots and celery in butter. Add 1 litre vegetable stock,"
        " a bay leaf and 200 g lentils, simmer for 40 minutes and season with vinegar, pepper"
        " and parsley."
    ),
    "foreign:pesto": (
        "Blend 50 g basil leaves, 30 g pine nuts, 1 clove garlic, 60 g grated parmesan and "
        "100 ml olive oil; season with salt and toss with spaghetti and a ladle of cooking "
        "water."
    ),
    "foreign:python": (
        "def binary_search(values, target): low, high = 0, len(values) - 1; while low <= "
        "high: mid = (low + high) // 2; if values[mid] < target: low = mid + 1; else: high = "
        "mid - 1; return low"
    ),
    "foreign:c": (
        "#include <stdio.h> int main(void) { for (unsigned int i = 0; i < 16; i++) { "
        'printf("%02x\\n", i << 4 & 0xff); } return 0; }'
    ),
    "foreign:sql": (
        "CREATE INDEX idx_orders ON orders (customer_id, created_at); SELECT customer_id, "
        "SUM(amount) FROM orders WHERE deleted IS NULL GROUP BY customer_id HAVING COUNT(*) >"
        " 3;"
    ),
    "foreign:js": (
        "const debounce = (fn, ms) => { let timer; return (...args) => { clearTimeout(timer);"
        " timer = setTimeout(() => fn(...args), ms); }; }; export default debounce;"
    ),
    "foreign:router": (
        "Default gateway 192.168.0.1, subnet mask 255.255.255.0. Configure DHCP, DNS and the "
        "WPA2 passphrase, update the firmware via USB and reset the Ethernet ports."
    ),
    "foreign:drill": (
        "Torque 12 Nm, chuck 13 mm, battery 18 V lithium-ion, idle speed 1500 rpm. Tighten "
        "the chuck clockwise; clean the ventilation slots; lubricate the gearbox every 100 "
        "hours."
    ),
}
