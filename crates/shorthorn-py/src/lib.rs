//! PyO3 binding of core and disk for simulator, tests and tools: conversion only
