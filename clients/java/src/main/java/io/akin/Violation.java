package io.akin;

/**
 * One field of the request at fault.
 *
 * @param field its path, as in {@code item.text}
 * @param description what is wrong with it
 */
public record Violation(String field, String description) {}
