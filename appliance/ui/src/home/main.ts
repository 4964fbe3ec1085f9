import { mount } from 'svelte';
import '../lib/base.css';
import { prepareDocument } from '../lib/i18n';
import App from './App.svelte';

prepareDocument('home.title');
const target = document.getElementById('app');
if (target) mount(App, { target });
