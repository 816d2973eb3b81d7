/** The Java client of Akin, a recommendation service. */
package io.akin;
