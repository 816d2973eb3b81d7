/** The client of Akin: texts in, recommendations out. */
package io.akin;
